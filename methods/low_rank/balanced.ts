/** Factors from a decomposition, and the quantized residual beside them. */
import {
  castTo,
  type DType,
  type Factors,
  isQuantized,
  type MatrixPlace,
  type Tensor,
} from "../../core/mod.ts";
import { matmul, multiply, reshape, sqrt, type Svd, transpose } from "../../ops/mod.ts";
import { typeError } from "../../errors/error.ts";

/** √(S / s) on both sides. */
export function balanced({ u, s, vt }: Svd, scale: number): Factors {
  const root = sqrt(multiply(s, 1 / scale)); // [r]
  return { a: multiply(vt, reshape(root, [-1, 1])), b: multiply(u, root) };
}

/** s B A [out, in]. */
export function update({ a, b }: Factors, scale: number): Tensor {
  return multiply(matmul(b, a), scale);
}

/** A quantized matrix. */
export interface Quantized {
  /** As stored by the model at this place. */
  readonly stored: Tensor;
  /** Its dequantized values, [out, in] f32. */
  readonly decoded: Tensor;
}

/**
 * Quantizes a matrix [out, in] in the layout that quantized weights have at the place, so that its blocks are
 * the model's.
 *
 * @throws {TypeError} when the dtype is not a quantized one.
 */
export function code(matrix: Tensor, place: MatrixPlace, dtype: DType): Quantized {
  if (!isQuantized(dtype)) {
    throw typeError("INVALID_ARGUMENT", `Expected a quantized dtype for the base but found ${dtype}`);
  }
  const transposed = place.kind === "embedding"; // quantized linear layers are [out, in]
  const stored = castTo(transposed ? transpose(matrix) : matrix, dtype);
  const decoded = castTo(stored, "f32");
  return { stored, decoded: transposed ? transpose(decoded) : decoded };
}

/** Number and sizes of the matrix products with which a backend computes a `matmul`. */
import type { Operand } from "./backend.ts";
import { showShape, size } from "./shape.ts";
import { typeError } from "../errors/error.ts";

/** Which operands are stored transposed: a [k, m] instead of [m, k], b [n, k] instead of [k, n]. */
export interface Orientation {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** `batch` products [m, k] · [k, n] of stored rows of `widthA` and `widthB`. */
export interface ProductSizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly widthA: number;
  readonly widthB: number;
  readonly batch: number;
  /** Leading axes, over which the operands broadcast where they are not folded. */
  readonly lead: readonly number[];
  /** Whether the rows of all batch items form one product, since b is shared and a is row-major. */
  readonly folded: boolean;
}

/** The sizes of out = a · b. @throws {TypeError} when b is quantized and has more than two axes. */
export function productSizes(
  a: Operand,
  b: Operand,
  { transposeA, transposeB }: Orientation,
  out: Operand,
): ProductSizes {
  if (b.dtype !== "f32" && b.shape.length > 2) {
    throw typeError(
      "INVALID_TENSOR",
      `Cannot matmul by ${b.dtype} ${showShape(b.shape)}: coded weights have two axes`,
    );
  }
  const [rowsA, widthA] = a.shape.slice(-2) as [number, number];
  const [rowsB, widthB] = b.shape.slice(-2) as [number, number];
  const lead = out.shape.slice(0, -2);
  const folded = b.shape.length === 2 && !transposeA;
  return {
    m: folded ? size(a.shape.slice(0, -1)) : transposeA ? widthA : rowsA,
    n: transposeB ? rowsB : widthB,
    k: transposeA ? rowsA : widthA,
    widthA,
    widthB,
    batch: folded ? 1 : size(lead),
    lead,
    folded,
  };
}

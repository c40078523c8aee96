/** How much quantization changes a model's weights. Computed on the model's backend, one weight at a time. */
import { byteLength, dispose, type DType, read, scope, type Synchronous, Tensor } from "../../tensor/mod.ts";
import { abs, concat, max, reshape, subtract, sumOfSquares } from "../../ops/mod.ts";
import type { Model } from "./model.ts";
import { castWeight, castWeightShape, isStoredTransposed } from "./matrix_layout.ts";
import { quantizationPlan, type QuantizeOptions } from "./quantize.ts";
import { lookup } from "./weights.ts";

/** The error of one weight, or of several together. */
export interface QuantizationError {
  /** Number of quantized elements. */
  readonly elements: number;
  /** Bytes as stored. */
  readonly bytes: number;
  /** √(mean (ŵ − w)²). */
  readonly rms: number;
  /** √(mean w²), for comparison. */
  readonly weightRms: number;
  /** max |ŵ − w|. */
  readonly worst: number;
}

/** The error of one weight. */
export interface WeightError extends QuantizationError {
  /** The weight's path. */
  readonly path: string;
  /** Index of its block, if it is in one. */
  readonly layer?: number;
}

/**
 * The error of every weight that `quantize(model, options)` would quantize. Weights that are already
 * quantized are measured against their dequantized values, regardless of `requantize`.
 *
 * @throws {RangeError} when a GGUF type does not divide a weight's last axis, or a target matches nothing.
 * @example
 * ```ts
 * import { quantizationErrors, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const errors = await quantizationErrors(model, { dtype: "nf4" });
 * assert.equal(errors.length, model.spec.linears.length);
 * // Normal numbers lose about a tenth.
 * assert.ok(errors.every(({ rms, weightRms }) => rms < 0.15 * weightRms));
 * ```
 */
export async function quantizationErrors(
  model: Model,
  options: Omit<QuantizeOptions, "requantize">,
): Promise<readonly WeightError[]> {
  const layers = new Map(model.spec.linears.map((place) => [`${place.path}.weight`, place.layer]));
  const errors: WeightError[] = [];
  for (const [path, dtype] of quantizationPlan(model.spec, options)) {
    const leaf = lookup(model.weights, path);
    if (!(leaf instanceof Tensor)) continue;
    const layer = layers.get(path);
    const error = await errorOf(leaf, dtype, isStoredTransposed(model.spec, path));
    errors.push({ path, ...layer !== undefined && { layer }, ...error });
  }
  return errors;
}

/**
 * The combined error of several weights.
 *
 * @example
 * ```ts
 * import { jointError } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const { elements, rms, worst } = jointError([
 *   { elements: 3, bytes: 6, rms: 1, weightRms: 2, worst: 1 },
 *   { elements: 1, bytes: 2, rms: 3, weightRms: 2, worst: 3 },
 * ]);
 * assert.deepEqual([elements, rms, worst], [4, Math.sqrt(3), 3]); // √((3 · 1 + 1 · 9) / 4)
 * ```
 */
export function jointError(parts: readonly QuantizationError[]): QuantizationError {
  const total = (of: (part: QuantizationError) => number): number =>
    parts.reduce((n, part) => n + of(part), 0);
  const elements = total((part) => part.elements);
  const rootMean = (of: "rms" | "weightRms"): number =>
    Math.sqrt(total((part) => part[of] * part[of] * part.elements) / elements);
  return {
    elements,
    bytes: total((part) => part.bytes),
    rms: rootMean("rms"),
    weightRms: rootMean("weightRms"),
    worst: Math.max(0, ...parts.map((part) => part.worst)),
  };
}

async function errorOf(leaf: Tensor, dtype: DType, inOut: boolean): Promise<QuantizationError> {
  const sums = scope((): Synchronous<Tensor> => {
    const w = castWeight(leaf, "f32", inOut);
    const error = subtract(castWeight(castWeight(w, dtype, inOut), "f32", inOut), w);
    return concat([sumOfSquares(error), sumOfSquares(w), max(abs(error))].map((t) => reshape(t, [1])));
  });
  const [squares, own, worst] = await read(sums);
  dispose(sums);
  const n = leaf.size;
  return {
    elements: n,
    bytes: byteLength(dtype, castWeightShape(leaf, dtype, inOut)),
    rms: Math.sqrt(squares! / n),
    weightRms: Math.sqrt(own! / n),
    worst: worst!,
  };
}

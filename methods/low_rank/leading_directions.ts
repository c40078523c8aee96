/**
 * The leading singular triples of layers' weights, along which TinyLoRA changes a weight: W ≈ U S V [out,
 * in], S in descending order.
 */
import {
  freshTargets,
  type MatrixPlace,
  type Model,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { leading, type Svd, svd } from "../../ops/mod.ts";
import { factorisedMatrix } from "../shared/factorised_matrix.ts";

/** Which directions. */
export interface DirectionOptions extends TargetOptions {
  /** r, default 2; a smaller matrix has as many as its smaller size. */
  readonly rank?: number;
}

/** u [out, r], s [r], vt [r, in] by layer's path. */
export type LeadingDirections = Readonly<Record<string, Svd>>;

/**
 * The directions of the layers that options choose, for `tinyLora`. On a GPU the matrices are decomposed on
 * the host. The tensors are owned by the caller.
 *
 * @throws {RangeError} when targets match nothing.
 * @example
 * ```ts
 * import { dispose, freshModel, leadingDirections, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const directions = await leadingDirections(model, { rank: 3, targets: ["down_proj"] });
 * assert.deepEqual(Object.values(directions)[0]!.vt.shape, [3, 32]);
 * dispose(directions);
 * ```
 */
export async function leadingDirections(
  model: Model,
  options: DirectionOptions = {},
): Promise<LeadingDirections> {
  const found: (readonly [string, Svd])[] = [];
  for (const place of freshTargets(model.spec, options)) {
    const directions = await factorisedMatrix(model, place, (w) => directionsOf(w, place, options.rank ?? 2));
    found.push([place.path, directions]);
  }
  return Object.fromEntries(found);
}

/**
 * The directions of one matrix [out, in], on a backend with an SVD.
 *
 * @example
 * ```ts
 * import { directionsOf, freshModel, read, reference, smallConfig } from "@graft/peft";
 * import { identity, multiply } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { s } = directionsOf(multiply(identity(16, reference()), 3), spec.linears[0]!, 2);
 * assert.deepEqual([...await read(s)].map(Math.round), [3, 3]);
 * ```
 */
export function directionsOf(w: Tensor, place: MatrixPlace, rank: number): Svd {
  return leading(svd(w), directionCount(place, rank));
}

/**
 * r, or the smaller size of the layer.
 *
 * @example
 * ```ts
 * import { directionCount, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual([4, 40].map((rank) => directionCount(spec.linears[0]!, rank)), [4, 16]); // of 16 · 16
 * ```
 */
export function directionCount(place: MatrixPlace, rank: number): number {
  const { inFeatures, outFeatures } = sizesOf(place);
  return Math.min(rank, inFeatures, outFeatures);
}

/**
 * The leading right singular vectors of layers' weights: the subspace in which PSOFT rotates.
 *
 *   W [out, in] = U S V, S descending        V[:r] [r, in]
 */
import {
  fold,
  freshTargets,
  type Key,
  key as keyOf,
  type Model,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { leading, randomizedSvd, svd } from "../../ops/mod.ts";
import { checkPositive } from "../shared/option_checks.ts";
import { factorisedMatrix } from "../shared/factorised_matrix.ts";
import { rangeError } from "../../errors/error.ts";

/** V [r, in] by layer's path. */
export type PrincipalSubspace = Readonly<Record<string, Tensor>>;

/** Options of `principalSubspace`. */
export interface PrincipalSubspaceOptions extends TargetOptions {
  /** r, default 32. */
  readonly rank?: number;
  /** Default "exact". Randomized (arXiv 0909.4061) is much faster; PEFT then uses 10 iterations. */
  readonly svd?: "exact" | { readonly iterations: number; readonly oversampling?: number };
  /** Seed of the randomized one, default 0. */
  readonly key?: Key | number;
}

/**
 * The subspaces of the layers that options choose, for `psoft`. On a GPU the matrices are decomposed on the
 * host. The tensors are owned by the caller, and become part of the parameters of adapters made with them.
 *
 * @throws {RangeError} when the rank is not a positive integer or exceeds a matrix's size, a target is an
 * embedding, or targets match nothing.
 * @example
 * ```ts
 * import { dispose, freshModel, principalSubspace, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const subspace = await principalSubspace(model, { rank: 3, targets: ["down_proj"] });
 * assert.deepEqual(Object.values(subspace).map(({ shape }) => shape), [[3, 32], [3, 32]]);
 * dispose(subspace);
 * ```
 */
export async function principalSubspace(
  model: Model,
  options: PrincipalSubspaceOptions = {},
): Promise<PrincipalSubspace> {
  const { rank = 32, svd: how = "exact", key = 0, ...targets } = options;
  checkPositive("rank", rank);
  const places = freshTargets(model.spec, targets);
  for (const place of places) {
    const { inFeatures, outFeatures } = sizesOf(place);
    if (place.kind === "embedding") {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot turn the embedding "${place.path}" within a subspace: it has no input`,
      );
    }
    if (rank > Math.min(inFeatures, outFeatures)) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot take rank ${rank} from "${place.path}" [${outFeatures}, ${inFeatures}]: choose at most ${
          Math.min(inFeatures, outFeatures)
        }`,
      );
    }
  }
  const found: (readonly [string, Tensor])[] = [];
  for (const place of places) {
    const { v } = await factorisedMatrix(model, place, (w) => {
      const { vt } = how === "exact"
        ? leading(svd(w), rank)
        : randomizedSvd(w, { ...how, rank, key: fold(keyOf(key), place.path) });
      return { v: vt };
    });
    found.push([place.path, v]);
  }
  return Object.fromEntries(found);
}

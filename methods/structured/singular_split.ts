/**
 * Layers' weights split by their singular values: the part that OSF keeps, and the part that it trains.
 *
 *   W [out, in] = U_h S_h V_h + U_l S_l V_l        k leading triples, n = min(out, in) − k others
 *
 * Leading vectors are stored only where the others do not determine their projection: U_h where out > in, V_h
 * where in > out. Elsewhere I − U_h U_hᵀ = U_l U_lᵀ.
 */
import {
  freshTargets,
  type MatrixPlace,
  type Model,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { bounded, type OptionSchema } from "../../core/options/mod.ts";
import { multiply, slice, svd } from "../../ops/mod.ts";
import { checkNotEmbedding } from "../shared/not_embedding.ts";
import { factorisedMatrix } from "../shared/factorised_matrix.ts";
import { rangeError } from "../../errors/error.ts";

/** One layer's split: u [out, n], s [n], v [n, in], and where needed high.u [out, k], high.v [k, in]. */
export type LayerSplit = {
  readonly u: Tensor;
  readonly s: Tensor;
  readonly v: Tensor;
  readonly high: { readonly u?: Tensor; readonly v?: Tensor };
};

/** Splits by layer's path. */
export type SingularSplit = Readonly<Record<string, LayerSplit>>;

/** k. */
export const preservedSchema: OptionSchema<number> = bounded(
  {
    what: "a share below 1 or a positive integer",
    accepts: (value) => typeof value === "number" && value > 0 && (value < 1 || Number.isInteger(value)),
  },
  "rank",
);

/** Options of `singularSplit`. */
export interface SingularSplitOptions extends TargetOptions {
  /**
   * k: a number of triples, or below 1 the share of the smaller size, rounded down. Default 0.5, half of them, as in PEFT.
   */
  readonly preserved?: number;
}

/**
 * The splits of the layers that options choose, for `osf`. On a GPU the matrices are decomposed on the host.
 * The tensors are owned by the caller, and become part of the parameters of adapters made with them.
 *
 * @throws {RangeError} when k is not a positive number or leaves nothing, a target is an embedding, or
 * targets match nothing.
 * @example
 * ```ts
 * import { dispose, freshModel, reference, singularSplit, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const split = await singularSplit(model, { preserved: 12, targets: ["layers.0.mlp.down_proj"] });
 * const [{ u, v, high }] = Object.values(split) as [typeof split[string]];
 * assert.deepEqual([u.shape, v.shape], [[16, 4], [4, 32]]); // [16, 32]: 16 triples, of which 12 stay
 * assert.deepEqual([high.u, high.v?.shape], [undefined, [12, 32]]);
 * dispose(split);
 * ```
 */
export async function singularSplit(
  model: Model,
  options: SingularSplitOptions = {},
): Promise<SingularSplit> {
  return await splitOf(model, freshTargets(model.spec, options), options);
}

/** The splits of given layers. @throws {RangeError} as `singularSplit`. */
export async function splitOf(
  model: Model,
  places: readonly MatrixPlace[],
  options: SingularSplitOptions,
): Promise<SingularSplit> {
  const ranks = places.map((place) => preservedRank(place, options));
  const found: (readonly [string, LayerSplit])[] = [];
  for (const [i, place] of places.entries()) {
    found.push([place.path, await factorisedMatrix(model, place, (w) => splitAt(w, ranks[i]!))]);
  }
  return Object.fromEntries(found);
}

/**
 * k for a layer.
 *
 * @throws {RangeError} when it is not a positive number, leaves nothing to train, or the layer is an
 * embedding.
 * @example
 * ```ts
 * import { freshModel, preservedRank, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [query] = spec.linears; // [16, 16]
 * assert.deepEqual([0.3, 3, undefined].map((preserved) => preservedRank(query!, { preserved })), [4, 3, 8]);
 * ```
 */
export function preservedRank(
  place: MatrixPlace,
  { preserved = 0.5 }: { readonly preserved?: number | undefined },
): number {
  const { inFeatures, outFeatures } = sizesOf(place);
  checkNotEmbedding("osf", place);
  const all = Math.min(inFeatures, outFeatures);
  const k = preserved < 1 ? Math.floor(all * preserved) : preserved;
  if (!(Number.isInteger(k) && k > 0 && k < all)) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot preserve ${preserved} of the ${all} singular values of "${place.path}": choose 1 to ${
        all - 1
      }, or a share that is so`,
    );
  }
  return k;
}

/** The split of a matrix after k triples. */
export function splitAt(w: Tensor, k: number): LayerSplit {
  const { u, s, vt } = svd(w);
  const [[m, n], all] = [w.shape as [number, number], s.size];
  const own = (t: Tensor): Tensor => multiply(t, 1);
  return {
    u: own(slice(u, 1, k, all)),
    s: own(slice(s, 0, k, all)),
    v: own(slice(vt, 0, k, all)),
    high: {
      ...m > n && { u: own(slice(u, 1, 0, k)) },
      ...n > m && { v: own(slice(vt, 0, 0, k)) },
    },
  };
}

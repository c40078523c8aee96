/**
 * OSF in PEFT folders: `osf_svd_params.U_low` [out, n], `S_low` [n] and `V_low` [n, in] below the layer's
 * path. PEFT recomputes their initial values from the base when it loads a folder, and so do we: the product
 * is the same for any signs of the vectors.
 */
import { type MatrixPlace, type Model, nest, type Tensor, type Tree } from "../../core/mod.ts";
import { osf, type OsfOptions } from "./osf.ts";
import { flagField, type PeftCodec, wrong } from "../peft/codec.ts";
import { peftLayer } from "../peft/layers.ts";
import { preservedRank, splitOf } from "./singular_split.ts";

const HALF = 0.5;

/**
 * Codec of `peft_type` "OSF".
 *
 * @example
 * ```ts
 * import { osfPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(osfPeft.read({ ...osfPeft.fields, effective_rank: 12 }).preserved, 12);
 * ```
 */
export const osfPeft: PeftCodec<OsfOptions> = {
  type: "OSF",
  fields: {
    modules_to_save: null,
    effective_rank: null,
    rank_pattern: null,
    init_weights: true,
    target_svd_config: null, // which PEFT ignores
  },
  refused: { rank_pattern: "ranks by pattern" },
  read: (fields) => {
    flagField(fields, "init_weights"); // describes the initialization, which no longer matters
    const rank = fields["effective_rank"] ?? null;
    if (rank === null) return {};
    return typeof rank === "number" ? { preserved: rank } : wrong("effective_rank", "a number or null", rank);
  },
  // PEFT's null is half of the triples, as without a number here.
  write: ({ preserved = HALF }) => ({ effective_rank: preserved === HALF ? null : preserved }),
  method: osf,
  frozen: startsOf,
  tensors: (places, options) =>
    places.flatMap((place) => {
      const { path, inFeatures, outFeatures } = peftLayer("OSF", place, "without Conv1D");
      const n = Math.min(inFeatures, outFeatures) - preservedRank(place, options);
      const key = `${path}.osf_svd_params`;
      return [
        { path: `${path}.u`, key: `${key}.U_low`, shape: [outFeatures, n] },
        { path: `${path}.s`, key: `${key}.S_low`, shape: [n] },
        { path: `${path}.v`, key: `${key}.V_low`, shape: [n, inFeatures] },
      ];
    }),
};

/** The initial values of the trained vectors, which the folder lacks, under the layers' paths. */
async function startsOf(model: Model, places: readonly MatrixPlace[], options: OsfOptions): Promise<Tree> {
  const split = await splitOf(model, places, options);
  return nest(
    Object.entries(split).flatMap(([path, { u, s, v, high }]) =>
      Object.entries({ u, s, v, ...high.u && { "high.u": high.u }, ...high.v && { "high.v": high.v } })
        .map(([name, t]): readonly [string, Tensor] => [`${path}.frozen.${name}`, t])
    ),
  ) as Tree;
}

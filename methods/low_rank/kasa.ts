/**
 * KaSA. Wang et al. 2024, "KaSA: Knowledge-Aware Singular-Value Adaptation of Large Language Models", arXiv 2412.06071,
 * equations 5 to 12.
 *
 *   y = (W − U S V) x + b + s B diag(σ) A dropout(x)        A [r, in]   σ [r, 1]   B [out, r]   s = α / r
 *   penalty: β Σ ‖σ‖² + γ Σ (‖Bᵀ B − I‖_F + ‖A Aᵀ − I‖_F)
 *
 * U [out, r], S and V [r, in] are the r smallest singular triples of W, which the paper takes for noise: the base loses them,
 * and the adapter learns in their place. Here they are subtracted beside the base, which stays as it is. A is uniform in
 * ±1/√in, σ normal and B zero. As in PEFT, where the penalty is a sum over layers.
 *
 * Where a matrix has no small values, as those of the values often have none under grouped queries, what the base loses is no
 * noise, and the model starts much worse than it was, in PEFT as here: choose `targets` or a smaller r by the first loss.
 */
import {
  adapt,
  type DefinedMethod,
  freshTargets,
  leaves,
  lowRank,
  type MatrixPlace,
  sizesOf,
  type TargetOptions,
  type Tensor,
  type Tree,
  triplets,
} from "../../core/mod.ts";
import { made, number, option, probability } from "../../core/options/mod.ts";
import { addAll, multiply, slice, sqrt, sumOfSquares, svd } from "../../ops/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { kaiming, normal, zeros } from "../shared/initial.ts";
import { nonNegative } from "../shared/number_schemas.ts";
import { orthonormalityError } from "../shared/orthonormality.ts";
import { rankPattern, rankSchema } from "../shared/target_options.ts";
import { factorisedMatrix } from "../shared/factorised_matrix.ts";
import { loraRank } from "./lora.ts";
import { rangeError } from "../../errors/error.ts";

/** The smallest singular triples of a layer. */
export interface KasaNoise {
  /** U S [out, r]. */
  readonly u: Tensor;
  /** V [r, in]. */
  readonly v: Tensor;
}

/** Options of KaSA. */
export interface KasaOptions extends TargetOptions {
  /** r, default 8: also how many singular triples the base loses. */
  readonly rank?: number;
  /** Rank by pattern matching the end of the path; the first match applies. */
  readonly rankPattern?: Readonly<Record<string, number>> | undefined;
  /** α of the scale α/r; default r. */
  readonly alpha?: number | undefined;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /** β, the weight of the penalty on σ. Default 1e-4. */
  readonly beta?: number;
  /** γ, the weight of the penalty on factors that are not orthonormal. Default 1e-3. */
  readonly gamma?: number;
  /** The smallest triples by layer's path, for a GPU, which has no decomposition. Default: decompose at init. */
  readonly noise?: Readonly<Record<string, KasaNoise>> | undefined;
}

/** One layer's parameters: a [r, in], sigma [r, 1], b [out, r], and what the base loses, u [out, r] times v [r, in]. */
export type KasaParams = {
  readonly a: Tensor;
  readonly sigma: Tensor;
  readonly b: Tensor;
  readonly "frozen.u": Tensor;
  readonly "frozen.v": Tensor;
};

/**
 * KaSA as a method. Parameters under each layer's path: `a` [r, in], `sigma` [r, 1], `b` [out, r], and frozen `frozen.u`
 * [out, r], `frozen.v` [r, in].
 *
 * @throws {RangeError} when an option is out of range, or targets match nothing; at init, when a layer has no more than r
 * singular values, or is an embedding.
 * @throws {TypeError} at init on a GPU without `noise`.
 * @example
 * ```ts
 * import { adapt, count, freshModel, kasa, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, kasa({ rank: 4, targets: ["q_proj"] }));
 * assert.equal(count(model, adapter).trainable, 2 * 4 * (16 + 16 + 1));
 * ```
 */
export const kasa: DefinedMethod<KasaOptions> = defineLinear<KasaOptions, KasaParams>({
  name: "kasa",
  summary: "LoRA with trained singular values, in place of each weight's smallest ones.",
  facts: { parameters: "r (in + out + 1), and as many fixed", merges: "yes" },
  title: "KaSA",
  options: {
    rank: option(rankSchema, "r, the rank of the update, and of what the base loses", 8),
    rankPattern,
    alpha: option(number, "α of the scale α/r; by default r"),
    dropout: option(probability, "dropout of the branch's input in training", 0),
    beta: option(nonNegative, "β, the weight of the penalty on σ", 1e-4),
    gamma: option(nonNegative, "γ, the weight of the penalty on factors that are not orthonormal", 1e-3),
    noise: option(
      made<Readonly<Record<string, KasaNoise>>>("triples by layer"),
      "what the base loses, made beforehand",
    ),
  },
  embeddings: false,
  follows: ({ rank, alpha = rank }) => ({ alpha }),
  params: ({ path, inFeatures, outFeatures }, { rank: r }) => {
    const most = Math.min(inFeatures, outFeatures) - 1;
    if (r > most) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot take ${r} singular values from "${path}" [${outFeatures}, ${inFeatures}]: choose a rank of at most ${most}`,
      );
    }
    return {
      a: kaiming([r, inFeatures]),
      sigma: normal([r, 1]),
      b: zeros([outFeatures, r]),
      "frozen.u": zeros([outFeatures, r]),
      "frozen.v": zeros([r, inFeatures]),
    };
  },
  start: (_, weight, { rank, noise }, { path }) => {
    const { u, v } = noise?.[path] ?? smallest(weight(), rank);
    return { "frozen.u": u, "frozen.v": v };
  },
  change: ({ a, sigma, b, "frozen.u": u, "frozen.v": v }, { rank, alpha, dropout }) => [
    { form: "add", map: lowRank(v, u, -1) },
    {
      form: "add",
      map: triplets(a, sigma, b, alpha! / rank),
      ...dropout > 0 && { dropout },
    },
  ],
  training: ({ beta, gamma }) => ({ penalty: (params) => penalty(params, beta, gamma) }),
  recorded: ({ config: { noise: _, ...config } }) => config,
  cli: {
    rate: 4e-4,
    flags: ["rank", "alpha", "dropout", "targets"],
    options: ({ rank }, _, places) => ({ rank: rank ?? Math.min(8, ...places.map(mostOf)) }),
  },
  // For a GPU, decomposed on the host.
  prepare: async ({ model, options, seed }) => {
    const own = options as KasaOptions;
    const noise: Record<string, KasaNoise> = {};
    for (const place of freshTargets(model.spec, own)) {
      noise[place.path] = await factorisedMatrix(model, place, (w) => smallest(w, loraRank(place.path, own)));
    }
    return { adapter: adapt(model, kasa({ ...own, noise }), seed) };
  },
  published: { setting: "r 8 on q and v" },
});

/** The largest rank of a layer, which keeps one singular value. */
function mostOf(place: MatrixPlace): number {
  const { inFeatures, outFeatures } = sizesOf(place);
  return Math.min(inFeatures, outFeatures) - 1;
}

/** The r smallest singular triples of a matrix, the values with u. */
function smallest(w: Tensor, r: number): KasaNoise {
  const { u, s, vt } = svd(w);
  const rest = s.size - r;
  return {
    u: multiply(slice(u, 1, rest, s.size), slice(s, 0, rest, s.size)),
    v: multiply(slice(vt, 0, rest, s.size), 1),
  };
}

function penalty(params: Tree, beta: number, gamma: number): Tensor {
  const terms = leaves(params).flatMap(([path, t]) => {
    const leaf = path.slice(path.lastIndexOf(".") + 1);
    if (path.includes(".frozen.")) return [];
    if (leaf === "sigma") return [multiply(sumOfSquares(t), beta)];
    return [multiply(sqrt(orthonormalityError(t, leaf === "a" ? "rows" : "columns")), gamma)];
  });
  return addAll(terms);
}

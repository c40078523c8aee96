/**
 * LoRA. Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685.
 *
 *   y = W x + s · B A dropout(x)        A [r, in]   B [out, r]   s = α/r, or α/√r (rsLoRA, arXiv 2312.03732)
 *
 * A is uniform in ±1/√in, as in the authors' code (the paper says Gaussian: `initialization: "gaussian"`), B
 * is zero, so the model is initially unchanged. On an embedding, whose input is one-hot, A is zero and B
 * normal.
 */
import {
  type Backend,
  byPattern,
  chooseTargets,
  type CommandLine,
  type DefinedMethod,
  defineMethod,
  type Edit,
  fold,
  freshTargets,
  type Key,
  key as keyOf,
  lowRank,
  type MatrixPlace,
  nest,
  paramsAt,
  replaceLeaf,
  scope,
  sizesOf,
  type Spec,
  type Synchronous,
  type TargetOptions,
  type Tensor,
  trainableCopy,
  type Tree,
} from "../../core/mod.ts";
import { flag, number, oneOf, option, type OptionsOf, probability } from "../../core/options/mod.ts";
import { matmul, multiply, normal, orthogonalRows, reshape, slice, uniform, zeros } from "../../ops/mod.ts";
import { atPlaces } from "../shared/initial_factors.ts";
import { alphaPattern, rankPattern, rankSchema, TARGETS } from "../shared/target_options.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of LoRA. */
export interface LoraOptions extends TargetOptions {
  /**
   * r, default 8. A rank above a matrix's smaller size is allowed, as in PEFT, but useless: the rank of B A
   * is at most that size, to which `toLora` with error 0 reduces it.
   */
  readonly rank?: number;
  /** α, default the rank. */
  readonly alpha?: number | undefined;
  /** s = α/r ("standard", default) or α/√r ("rankStabilized"). */
  readonly scaling?: "standard" | "rankStabilized";
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /** Rank by pattern matching the end of the path; the first match applies. */
  readonly rankPattern?: Readonly<Record<string, number>> | undefined;
  /** α by pattern. */
  readonly alphaPattern?: Readonly<Record<string, number>> | undefined;
  /** Initialization of A and B; "none" makes both random, for tests. Default "default". */
  readonly initialization?: "default" | "gaussian" | "orthogonal" | "none";
  /** Which of the base's biases are trained as well. Default "none". */
  readonly bias?: "none" | "adapted" | "all";
  /** Give B a bias, s · (B A x + bias). Default false. */
  readonly branchBias?: boolean;
}

/** The rank where none is given. */
export const LORA_RANK = 8;

/** The options of LoRA but its initialization, which its relatives have as well. */
export const LORA_SHARED: OptionsOf<Omit<LoraOptions, "initialization">> = {
  ...TARGETS,
  rank: option(rankSchema, "r, the rank of the update", LORA_RANK),
  alpha: option(number, "α of the scale α/r; by default r"),
  scaling: option(oneOf("standard", "rankStabilized"), "the scale: α/r, or α/√r", "standard"),
  dropout: option(probability, "dropout of the branch's input in training", 0),
  rankPattern,
  alphaPattern,
  bias: option(oneOf("none", "adapted", "all"), "which of the base's biases train as well", "none"),
  branchBias: option(flag, "whether B has a bias", false),
};

/** All options of LoRA. */
export const LORA: OptionsOf<LoraOptions> = {
  ...LORA_SHARED,
  initialization: option(
    oneOf("default", "gaussian", "orthogonal", "none"),
    "how A and B start; none makes both random, for tests",
    "default",
  ),
};

/** What the command line offers of LoRA and its relatives: rank 8 and twice as large an α, on every linear layer. */
export const LOW_RANK: CommandLine = {
  rate: 5e-4,
  flags: ["rank", "alpha", "dropout", "targets"],
  options: ({ rank = LORA_RANK, alpha = 2 * rank }) => ({ rank, alpha }),
};

/** One layer's factors: a [r, in], b [out, r], and with `branchBias` bias [out]. */
export type LoraFactors = { readonly a: Tensor; readonly b: Tensor; readonly branchBias?: Tensor };

/**
 * LoRA as a method. Parameters are stored under their layer's path: `model.layers.0.self_attn.q_proj.a`.
 *
 * @throws {RangeError} when a rank is not a positive integer, dropout is not in [0, 1), or targets match
 * nothing.
 * @example
 * ```ts
 * import { lora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const method = lora({ rank: 4, alpha: 8, targets: ["q_proj", "v_proj"] });
 * assert.equal(method.name, "lora");
 * ```
 */
export const lora: DefinedMethod<LoraOptions> = defineMethod<LoraOptions>({
  name: "lora",
  summary: "Adds a trained product of two thin matrices to chosen weight matrices.",
  facts: { parameters: "r (in + out)", merges: "yes" },
  title: "LoRA",
  options: LORA,
  create: (options) => ({
    init: ({ model, key }) =>
      scope((): Synchronous<Tree> => {
        const seed = keyOf(key);
        const factors = atPlaces(freshTargets(model.spec, options), (place) =>
          freshFactors(place, options, fold(seed, place.path), model.backend));
        const biases = biasPaths(model.spec, options).map((path) =>
          [path, trainableCopy(model, path)] as const
        );
        return nest([...factors, ...biases]) as Tree;
      }),
    edits: (params, spec) => [
      ...chooseTargets(spec, options).flatMap((place) =>
        editsOf(place, paramsAt(params, place.path) as LoraFactors, options)
      ),
      ...biasPaths(spec, options).map((path) => replaceLeaf(path, paramsAt(params, path) as Tensor)),
    ],
  }),
  cli: { ...LOW_RANK, shortRate: 1.2e-2, standard: true, compared: 2 },
  survey: {
    kinds: "R",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "No overhead",
    trainable: "0.01 - 0.5",
    changed: "~0.5 or ~30",
    differs: "percent changed is that of the matrices of this model's query and value layers",
  },
  published: { setting: "r 8 on q and v" },
});

/**
 * s for a layer.
 *
 * @example
 * ```ts
 * import { loraScale } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.equal(loraScale("q_proj", { rank: 8, alpha: 16 }), 2); // alpha / r
 * assert.equal(loraScale("q_proj", { rank: 16, alpha: 16, scaling: "rankStabilized" }), 4); // alpha / √r
 * ```
 */
export function loraScale(path: string, options: LoraOptions): number {
  const rank = loraRank(path, options);
  const alpha = byPattern(options.alphaPattern, path, options.alpha ?? options.rank ?? 8);
  return alpha / (options.scaling === "rankStabilized" ? Math.sqrt(rank) : rank);
}

/**
 * r for a layer.
 *
 * @example
 * ```ts
 * import { loraRank } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.equal(loraRank("model.layers.0.q_proj", { rank: 8, rankPattern: { "layers.0.q_proj": 32 } }), 32);
 * ```
 */
export function loraRank(path: string, options: LoraOptions): number {
  return byPattern(options.rankPattern, path, options.rank ?? 8);
}

function editsOf(
  place: MatrixPlace,
  { a, b, branchBias }: LoraFactors,
  options: LoraOptions,
): readonly Edit[] {
  const { path } = place;
  const scale = loraScale(path, options);
  return [
    {
      kind: "linear",
      path,
      change: { form: "add", map: lowRank(a, b, scale), ...options.dropout && { dropout: options.dropout } },
    },
    ...branchBias
      ? [{ kind: "linear", path, change: { form: "bias", bias: branchBias, factor: scale } } as const]
      : [],
  ];
}

function freshFactors(place: MatrixPlace, options: LoraOptions, key: Key, backend: Backend): LoraFactors {
  const { inFeatures, outFeatures } = sizesOf(place);
  const r = loraRank(place.path, options);
  const [keyA, keyB] = [fold(key, "a"), fold(key, "b")];
  const bound = 1 / Math.sqrt(inFeatures);
  const uniformA = (): Tensor => uniform(keyA, [r, inFeatures], backend, -bound, bound);
  const zeroB = (): Tensor => zeros([outFeatures, r], backend);
  const extra = options.branchBias ? { branchBias: zeros([outFeatures], backend) } : {};
  if (place.kind === "embedding" && options.initialization !== "none") {
    return { a: zeros([r, inFeatures], backend), b: normal(keyB, [outFeatures, r], backend), ...extra };
  }
  switch (options.initialization ?? "default") {
    case "default":
      return { a: uniformA(), b: zeroB(), ...extra };
    case "gaussian": // N(0, 1/r)
      return { a: normal(keyA, [r, inFeatures], backend, 1 / r), b: zeroB(), ...extra };
    case "none": {
      const boundB = 1 / Math.sqrt(r);
      return { a: uniformA(), b: uniform(keyB, [outFeatures, r], backend, -boundB, boundB), ...extra };
    }
    case "orthogonal":
      return { ...orthogonalFactors(r, inFeatures, outFeatures, key, backend), ...extra };
  }
}

/**
 * A and B from disjoint halves of one orthogonal basis, so that B A = 0 with neither zero: Q [r, r] orthogonal,
 * A = Q_oddᵀ G_A / 10, B = G_B Q_even / 10 with G Gaussian (as PEFT's "orthogonal").
 */
function orthogonalFactors(
  r: number,
  inFeatures: number,
  outFeatures: number,
  key: Key,
  backend: Backend,
): LoraFactors {
  if (r % 2 !== 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected an even rank for orthogonal initialisation but found ${r}`,
    );
  }
  const q = orthogonalRows(normal(fold(key, "q"), [r, r], backend));
  const half = (index: number): Tensor => everyOther(q, index); // [r/2, r]
  const gaussian = (name: string, n: number): Tensor => normal(fold(key, name), [n, r / 2], backend);
  return {
    a: multiply(matmul(half(0), gaussian("ga", inFeatures), { transposeA: true, transposeB: true }), 0.1),
    b: multiply(matmul(gaussian("gb", outFeatures), half(1)), 0.1),
  };
}

/** Rows index, index + 2, … of a matrix with an even number of rows. */
function everyOther(q: Tensor, index: number): Tensor {
  const [rows, columns] = [q.shape[0]!, q.shape[1]!];
  return reshape(slice(reshape(q, [rows / 2, 2, columns]), 1, index, index + 1), [rows / 2, columns]);
}

/** Paths of the base's biases that are trained. */
function biasPaths(spec: Spec, options: LoraOptions): readonly string[] {
  switch (options.bias ?? "none") {
    case "none":
      return [];
    case "adapted":
      return chooseTargets(spec, options).flatMap((place) =>
        "bias" in place && place.bias ? [`${place.path}.bias`] : []
      );
    case "all":
      return [...spec.linears, ...spec.norms, ...spec.heads].filter((p) => p.bias).map((p) =>
        `${p.path}.bias`
      );
  }
}

/**
 * DiffPruning. Guo, Rush and Kim 2020, "Parameter-Efficient Transfer Learning with Diff Pruning", arXiv 2012.07463, section 3.
 *
 *   θ = θ0 + z ⊙ δ        z = clip(s (r − l) + l, 0, 1)        s = σ(log u − log(1 − u) + α)        u ~ U(10⁻⁴, 1 − 10⁻⁴)
 *   loss + λ Σ σ(α − log(−l / r))        l = −1.5, r = 1.5
 *
 * Structured (default): z is the product of an element's gate and one gate for its whole tensor g. The
 * paper's expected number of remaining differences counts an element where both are open: `penalty:
 * "product"`. The released script adds up all gates of both kinds: "sum", the default:
 *
 *   product   Σ_g σ(α_g − log(−l / r)) Σ_{i in g} σ(α_i − log(−l / r))        sum   Σ_g σ(α_g − …) + Σ_i σ(α_i − …)
 *
 * δ starts at zero and each α at 5, so all gates are open initially. In evaluation u = ½. α has a separate
 * learning rate.
 *
 * Afterwards `prunedDiff` keeps the largest |z ⊙ δ| of all tensors, which are trained further with a fixed
 * mask (`pruned_diff.ts`). As in the authors' `run_glue_diffpruning.py`, the
 * classifier has no gates and is trained as a whole. Their saved model uses the last sample of z; here it is
 * z's value in evaluation, or a sample by key.
 */
import {
  adapt,
  type Adapter,
  decoded,
  type DefinedMethod,
  defineMethod,
  dequantizedShape,
  dispose,
  fn,
  type Model,
  type Preparing,
  replaceLeaf,
  type Tensor,
  trainableCopy,
  type WeightEdit,
} from "../../core/mod.ts";
import { any, filled, list, number, oneOf, option, text } from "../../core/options/mod.ts";
import { add, addAll, full, multiply, zeros } from "../../ops/mod.ts";
import { classifierLeaves } from "../shared/classifier.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { nonNegative, share } from "../shared/number_schemas.ts";
import {
  type GatedLeaf,
  gatedLeaves,
  gatedSize,
  gatedWeights,
  gateOf,
  isGate,
  openGates,
  wholeLeaves,
} from "./diff_gates.ts";
import { halfPercent, spreadMask } from "./masks.ts";
import { diffPruningFixed, keptCount, prunedDiff, type PrunedDiffOptions } from "./pruned_diff.ts";

/** Options of DiffPruning. */
export interface DiffPruningOptions {
  /** λ, default 1.25e-7 as for BERT-large. */
  readonly sparsity?: number;
  /** One additional gate per tensor ("tensor", default), or none. */
  readonly structure?: "tensor" | "none";
  /**
   * What λ multiplies: with structured gates the product of the element's and the tensor's, summed over the
   * elements ("product", the paper's expected L0), or the sum of all gates ("sum", default, as released).
   * Without structure they are the same.
   */
  readonly penalty?: "sum" | "product";
  /** The gates' learning rate, before the schedule. Default 0.1. */
  readonly gateRate?: number;
  /** Initial α, default 5. */
  readonly initialAlpha?: number;
  /**
   * Weights without differences: names, equal to a path or its end. Default none. Consider excluding a head
   * tied to the embedding: Adam moves the rows of tokens that never occur as far as any others, so that
   * projection would keep those.
   */
  readonly frozen?: readonly string[];
}

/** How many differences are kept after the first stage. */
const KEPT = {
  ratio: option(share, "share of the gated weights that is kept", 0.005),
  gates: option(any(oneOf("mean"), number), "z as in evaluation, or a sample by this seed", "mean"),
};

/**
 * DiffPruning as a method: its first stage, in which every weight has a difference and a gate. Parameters:
 * `<leaf>.delta` and `<leaf>.alpha` like the leaf, `<leaf>.group` [1]; the classifier's leaves as a whole.
 *
 * @throws {RangeError} when an option is out of range.
 * @example
 * ```ts
 * import { diffPruning } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(diffPruning({ sparsity: 1e-6 }).name, "diff-pruning");
 * ```
 */
export const diffPruning: DefinedMethod<DiffPruningOptions> = defineMethod<DiffPruningOptions>({
  name: "diff-pruning",
  summary: "Learns a sparse difference from the weights, kept small by an L0 penalty.",
  facts: { trains: "2N and a gate a tensor", changes: "0.5 %" },
  title: "DiffPruning",
  options: {
    sparsity: option(nonNegative, "λ, how strongly gates are closed", 1.25e-7),
    structure: option(oneOf("tensor", "none"), "one more gate for each tensor, or none", "tensor"),
    penalty: option(
      oneOf("sum", "product"),
      "what λ multiplies: all gates, or the products of an element's and its tensor's",
      "sum",
    ),
    gateRate: option(nonNegative, "the gates' learning rate", 0.1),
    initialAlpha: option(number, "α, where gates start", 5),
    frozen: option(list(text), "weights without differences, by name", []),
  },
  create: ({ sparsity, structure, penalty, gateRate, initialAlpha, frozen }) => ({
    init: ({ model }) =>
      freshParams(() => {
        const gate = (shape: readonly number[]): Tensor => full(shape, initialAlpha, model.backend);
        return [
          ...gatedWeights(model, frozen).flatMap(([path]) => {
            const shape = dequantizedShape(model, path);
            return [
              [`${path}.delta`, zeros(shape, model.backend)] as const,
              [`${path}.alpha`, gate(shape)] as const,
              ...structure === "tensor" ? [[`${path}.group`, gate([1])] as const] : [],
            ];
          }),
          ...classifierLeaves(model.spec).map((path) => [path, trainableCopy(model, path)] as const),
        ];
      }),
    edits: (params) => [
      ...gatedLeaves(params).map(moved),
      ...wholeLeaves(params).map(([path, value]) => replaceLeaf(path, value)),
    ],
    penalty: (params) => {
      const terms = gatedLeaves(params).flatMap(({ alpha, group }) => {
        const elements = openGates(alpha);
        if (group === undefined) return [elements];
        return penalty === "sum" ? [elements, openGates(group)] : [multiply(elements, openGates(group))];
      });
      return multiply(addAll(terms), sparsity);
    },
    rates: ({ learningRate }) => (path) => isGate(path) ? gateRate / learningRate : 1,
  }),
  cli: { rate: 5e-5, flags: [], also: KEPT, head: "all", stages: true },
  prepare: async ({ model, options, seed, train }) => {
    const { ratio, gates, ...method } = filled(options, { ...KEPT, ...diffPruning.definition.options });
    return { adapter: await keptDifferences(model, { ratio, gates, method, seed }, train) };
  },
  plan: ({ options: { ratio: _, gates: __, ...own } }) => diffPruning(own),
  survey: {
    kinds: "S",
    storage: "yes",
    memory: "no",
    backward: "no",
    overhead: "No overhead",
    trainable: "200",
    changed: "0.5",
  },
  published: {
    setting: "0.5 % kept",
    kept: (model) => diffPruningFixed({ mask: spreadMask(model, halfPercent(model)) }),
  },
});

/** Options of the stages before the last. */
export interface KeptDifferences extends PrunedDiffOptions {
  /** Options of the first stage's method. */
  readonly method?: DiffPruningOptions;
  /** Seed of the initial parameters, default 0. */
  readonly seed?: number;
}

/**
 * The stages before the last: differences and gates together, then projection to the target sparsity. The gradients of gates
 * and differences are clipped apart, as in the authors' code. The caller owns the result.
 */
export async function keptDifferences(
  model: Model,
  { method, seed, ...kept }: KeptDifferences,
  train: Preparing["train"],
): Promise<Adapter> {
  keptCount(gatedSize(model, method?.frozen), kept.ratio);
  const gated = await train(adapt(model, diffPruning(method), seed), {
    name: "gated",
    clipGroup: (path) => isGate(path) ? "gates" : "differences",
  });
  return await prunedDiff(model, gated, kept).finally(() => dispose(gated.params));
}

function moved({ path, delta, alpha, group }: GatedLeaf): WeightEdit {
  return {
    kind: "weight",
    path,
    map: fn({ delta, alpha, ...group && { group } }, ({ delta, alpha, group }, { weight, train, key }) => {
      const z = gateOf({ alpha, group }, train ? key : undefined);
      return add(decoded(weight), multiply(delta, z));
    }),
  };
}

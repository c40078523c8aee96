/**
 * AdaLoRA. Zhang et al. 2023, "AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning", arXiv 2303.10512,
 * equations 3, 4 and algorithm 1.
 *
 *   y = W x + s · B diag(e) A dropout(x)     A [r, in]   e [r, 1]   B [out, r]     s = α / (r + 10⁻⁵)
 *   loss + γ · mean over all A, B of ‖A Aᵀ − I‖, ‖Bᵀ B − I‖
 *
 * A triplet is a row of A, an entry of e and a column of B, as in a truncated SVD. Training starts with r
 * triplets per layer; after each step e is set to zero for the least important triplets of all layers
 * (`adalora_budget.ts`), until on average `targetRank` per layer remain. s keeps the initial r. A and B are
 * N(0, 0.02²), e is zero, so the model is initially unchanged.
 *
 * The paper writes the penalty as squared norms; the authors' `loralib/loralib/adalora.py`, PEFT and this
 * implementation use the norms.
 */
import {
  byPattern,
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  fold,
  freshTargets,
  key as keyOf,
  leaves,
  nest,
  paramsAt,
  scope,
  sizesOf,
  type Synchronous,
  type TargetOptions,
  type Tensor,
  type Tree,
  triplets,
} from "../../core/mod.ts";
import { bounded, count, number, option, probability, record, seed } from "../../core/options/mod.ts";
import { addAll, multiply, normal, sqrt, zeros } from "../../ops/mod.ts";
import { adjustBudget, type BudgetOptions, checkBudget } from "./adalora_budget.ts";
import { nonNegative } from "../shared/number_schemas.ts";
import { orthonormalityError } from "../shared/orthonormality.ts";
import { rankSchema, TARGETS } from "../shared/target_options.ts";

/** Options of AdaLoRA. */
export interface AdaloraOptions extends TargetOptions, BudgetOptions {
  /** r, triplets per layer at the start, default 12. */
  readonly rank?: number;
  /** α, default the rank. */
  readonly alpha?: number | undefined;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /** γ, default 0.5 as in PEFT; the authors use 0.1. */
  readonly orthogonality?: number;
  /**
   * Number of stored triplets by pattern matching the end of the path, where fewer than r (possibly none) are
   * stored. Does not change s.
   */
  readonly rankPattern?: Readonly<Record<string, number>> | undefined;
}

/**
 * AdaLoRA as a method. Parameters under each layer's path: `a` [r, in], `e` [r, 1], `b` [out, r].
 *
 * @throws {RangeError} when an option is out of range, or targets match nothing.
 * @example
 * ```ts
 * import { adalora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const method = adalora({ rank: 12, targetRank: 8, targets: "all-linear" });
 * assert.equal(method.name, "adalora");
 * ```
 */
export const adalora: DefinedMethod<AdaloraOptions> = defineMethod<AdaloraOptions>({
  name: "adalora",
  summary: "LoRA in SVD form that moves its ranks to the layers that need them.",
  facts: { parameters: "r (in + out + 1)", merges: "yes" },
  title: "AdaLoRA",
  options: {
    ...TARGETS,
    rank: option(rankSchema, "r, triplets of each layer at the start", 12),
    alpha: option(number, "α, over r; by default r"),
    dropout: option(probability, "dropout of the branch's input in training", 0),
    orthogonality: option(
      nonNegative,
      "γ, how strongly factors are kept orthonormal; the authors use 0.1",
      0.5,
    ),
    rankPattern: option(
      record(bounded(seed, "rank")),
      "how many triplets are stored, by pattern of the layer's path, where fewer than r are",
    ),
    targetRank: option(rankSchema, "triplets of each layer that remain on average; by default 8, or r"),
    initialSteps: option(seed, "steps before the budget falls", 0),
    finalSteps: option(seed, "steps at the end with a fixed selection", 0),
    interval: option(count, "steps between selections", 1),
    beta1: option(number, "β₁ of the averaged importance", 0.85),
    beta2: option(number, "β₂ of its uncertainty", 0.85),
    totalSteps: option(count, "T; by default the steps of the run"),
  },
  create: (options) => {
    const { rank, dropout, orthogonality } = options;
    checkBudget(options, rank);
    const scale = (options.alpha ?? rank) / (rank + 1e-5);
    return {
      init: ({ model: { spec, backend }, key }) =>
        scope((): Synchronous<Tree> =>
          nest(
            freshTargets(spec, options).flatMap((place) => {
              const { inFeatures, outFeatures } = sizesOf(place);
              const r = byPattern(options.rankPattern, place.path, rank);
              const random = (name: string, shape: readonly number[]): Tensor =>
                normal(fold(fold(keyOf(key), place.path), name), shape, backend, 0.02);
              return [
                [`${place.path}.a`, random("a", [r, inFeatures])],
                [`${place.path}.e`, zeros([r, 1], backend)],
                [`${place.path}.b`, random("b", [outFeatures, r])],
              ] as const;
            }),
          ) as Tree
        ),
      edits: (params, spec) =>
        chooseTargets(spec, options).flatMap(({ path }) => {
          const { a, e, b } = paramsAt(params, path) as Triplets;
          if (e.size === 0) return [];
          return [{
            kind: "linear",
            path,
            change: { form: "add", map: triplets(a, e, b, scale), ...dropout > 0 && { dropout } },
          }];
        }),
      ...orthogonality > 0 && { penalty: (params) => multiply(meanDistance(params), orthogonality) },
      adjust: (given) => adjustBudget(given, options),
    };
  },
  cli: {
    rate: 1e-3,
    flags: ["rank", "alpha", "dropout", "targets"],
    options: ({ rank: targetRank = 8, alpha = 2 * targetRank }) => ({
      targetRank,
      rank: Math.ceil(1.5 * targetRank),
      alpha,
    }),
  },
  published: { setting: "r 12 to 8, every layer", options: () => ({ targets: "all-linear" }) },
});

/** One layer's parameters. */
type Triplets = { readonly a: Tensor; readonly e: Tensor; readonly b: Tensor };

/** How far A's rows and B's columns are from orthonormal: the mean over all of them of Frobenius norms. */
function meanDistance(params: Tree): Tensor {
  const factors = leaves(params).filter(([path]) => !path.endsWith(".e"));
  const distances = factors.filter(([, t]) => t.size > 0).map(([path, t]) => {
    return sqrt(orthonormalityError(t, path.endsWith(".a") ? "rows" : "columns"));
  });
  return multiply(addAll(distances), 1 / factors.length);
}

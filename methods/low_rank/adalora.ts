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
  fold,
  freshTargets,
  key as keyOf,
  leaves,
  type Method,
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
import {
  addAll,
  identity,
  matmul,
  multiply,
  normal,
  sqrt,
  subtract,
  sumOfSquares,
  zeros,
} from "../../ops/mod.ts";
import { adjustBudget, type BudgetOptions, checkBudget } from "./adalora_budget.ts";
import { checkProbability, checkRanks } from "../shared/option_checks.ts";

/** Options of AdaLoRA. */
export interface AdaloraOptions extends TargetOptions, BudgetOptions {
  /** r, triplets per layer at the start, default 12. */
  readonly rank?: number;
  /** α, default the rank. */
  readonly alpha?: number;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /** γ, default 0.5 as in PEFT; the authors use 0.1. */
  readonly orthogonality?: number;
  /**
   * Number of stored triplets by pattern matching the end of the path, where fewer than r (possibly none) are
   * stored. Does not change s.
   */
  readonly rankPattern?: Readonly<Record<string, number>>;
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
export function adalora(options: AdaloraOptions = {}): Method {
  const { rank = 12, dropout = 0, orthogonality = 0.5 } = options;
  check(options);
  const scale = (options.alpha ?? rank) / (rank + 1e-5);
  return {
    name: "adalora",
    config: { ...options },
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
}

/** One layer's parameters. */
type Triplets = { readonly a: Tensor; readonly e: Tensor; readonly b: Tensor };

/** How far A's rows and B's columns are from orthonormal: the mean over all of them of Frobenius norms. */
function meanDistance(params: Tree): Tensor {
  const factors = leaves(params).filter(([path]) => !path.endsWith(".e"));
  const distances = factors.filter(([, t]) => t.size > 0).map(([path, t]) => {
    const rows = path.endsWith(".a");
    const gram = matmul(t, t, rows ? { transposeB: true } : { transposeA: true }); // [r, r]
    return sqrt(sumOfSquares(subtract(gram, identity(gram.shape[0]!, t.backend))));
  });
  return multiply(addAll(distances), 1 / factors.length);
}

function check(options: AdaloraOptions): void {
  const { rank = 12, orthogonality = 0.5, dropout = 0 } = options;
  const { rankPattern = {}, ...others } = options;
  const kept = Object.entries(rankPattern).filter(([, r]) => r !== 0); // 0: no triplets remained
  checkRanks({ ...others, rankPattern: Object.fromEntries(kept) });
  checkProbability("dropout", dropout);
  if (!(orthogonality >= 0)) {
    throw new RangeError(`Expected orthogonality to be 0 or more but found ${orthogonality}`);
  }
  checkBudget(options, rank);
}

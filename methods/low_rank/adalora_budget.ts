/**
 * AdaLoRA's budget (arXiv 2303.10512, sections 3.2 and 3.3, algorithm 1): after each optimizer step,
 *
 *   I = |θ ⊙ ∂L/∂θ|     Ī ← β₁ Ī + (1 − β₁) I     Ū ← β₂ Ū + (1 − β₂) |I − Ī|     s = Ī ⊙ Ū     for every element
 *   score of a triplet = s(e_i) + mean_j s(A_ij) + mean_j s(B_ji)
 *   e_i ← 0 where the score is not over that of the (all − budget)-th of all layers' triplets
 *
 * with a budget that decreases cubically from all triplets to the target. A masked triplet still gets
 * gradients and may be reactivated, until the last `finalSteps`, in which the selection is fixed. θ is the
 * parameter after the step, as in the authors' code (`loralib/loralib/adalora.py`).
 */
import {
  type Adjusted,
  type Adjusting,
  dispose,
  leaves,
  lookup,
  nest,
  overlay,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import {
  abs,
  add,
  concat,
  factorised,
  less,
  mean,
  multiply,
  orderStatistic,
  reshape,
  slice,
  subtract,
} from "../../ops/mod.ts";
import { checkPositive } from "../shared/option_checks.ts";
import { rangeError } from "../../errors/error.ts";

/** The schedule of the budget. */
export interface BudgetOptions {
  /** Triplets per layer that remain on average, default 8. */
  readonly targetRank?: number | undefined;
  /** t_i: steps before the budget decreases, default 0. */
  readonly initialSteps?: number;
  /** t_f: steps at the end with a fixed selection, default 0. */
  readonly finalSteps?: number;
  /** ΔT: steps between selections, default 1. */
  readonly interval?: number;
  /** β₁, default 0.85. */
  readonly beta1?: number;
  /** β₂, default 0.85. */
  readonly beta2?: number;
  /** T. Default: the steps of the run. */
  readonly totalSteps?: number | undefined;
}

/** The budget at a step: how many triplets may remain, and whether the others are masked now. */
export interface Budget {
  /** How many may remain. */
  readonly triplets: number;
  /** Whether this step selects triplets. */
  readonly masks: boolean;
}

/**
 * The budget after a step (from 1). It starts at `all` triplets and ends at `target`.
 *
 * @example
 * ```ts
 * import { budgetAt } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * const schedule = { initialSteps: 10, finalSteps: 20 };
 * assert.deepEqual(budgetAt(5, 100, 96, 64, schedule), { triplets: 96, masks: false }); // all initially
 * const { triplets } = budgetAt(40, 100, 96, 64, schedule);
 * assert.ok(triplets > 64 && triplets < 96); // falling by a cubic curve
 * assert.deepEqual(budgetAt(80, 100, 96, 64, schedule), { triplets: 64, masks: true });
 * ```
 */
export function budgetAt(
  step: number,
  totalSteps: number,
  all: number,
  target: number,
  { initialSteps = 0, finalSteps = 0, interval = 1 }: BudgetOptions,
): Budget {
  const last = totalSteps - finalSteps;
  if (step <= initialSteps) return { triplets: all, masks: false };
  if (step >= last) return { triplets: target, masks: true };
  const left = 1 - (step - initialSteps) / (last - initialSteps);
  return { triplets: Math.floor((all - target) * left * left * left + target), masks: step % interval === 0 };
}

/** One step of the budget. State: `sensitivity` and `uncertainty` like the parameters; at the end `kept`, 1 or 0 by layer. */
export async function adjustBudget(given: Adjusting, options: BudgetOptions): Promise<Adjusted> {
  const { params, state, step } = given;
  const totalSteps = options.totalSteps ?? given.totalSteps;
  const last = totalSteps - (options.finalSteps ?? 0);
  if (step > last) {
    const kept = state["kept"] as Tree | undefined;
    return {
      params: kept === undefined ? params : scope((): Synchronous<Tree> => masked(params, kept)),
      state,
    };
  }
  // The authors' code makes the last selection without that step's gradients.
  const scored = step === last && "sensitivity" in state
    ? state
    : scope((): Synchronous<Tree> => averaged(given, options));
  const layers = leaves(params).filter(([path, t]) => path.endsWith(".e") && t.size > 0);
  const all = layers.reduce((n, [, e]) => n + e.size, 0);
  const target = Math.min(all, layers.length * (options.targetRank ?? 8));
  const budget = budgetAt(step, totalSteps, all, target, options);
  if (!budget.masks || budget.triplets >= all) return { params, state: scored };
  const scores = scope((): Synchronous<Tensor> =>
    concat(layers.map(([path]) => tripletScores(scored, path.slice(0, -".e".length))))
  );
  const place = all - budget.triplets - 1;
  const { threshold } = await factorised(scores, (s) => ({ threshold: orderStatistic(s, place) }));
  const result = scope((): Synchronous<Adjusted> => {
    let from = 0;
    const kept = nest(layers.map(([path, e]) => {
      const over = less(threshold, slice(scores, 0, from, from + e.size));
      from += e.size;
      return [path, reshape(over, e.shape)] as const;
    })) as Tree;
    return { params: masked(params, kept), state: step < last ? scored : { kept } };
  });
  dispose([scores, threshold, ...step === last && scored !== state ? [scored] : []]);
  return result;
}

/** The running averages after one more step. */
function averaged({ params, gradients, state }: Adjusting, options: BudgetOptions): Tree {
  const { beta1 = 0.85, beta2 = 0.85 } = options;
  const mix = (old: Tensor | undefined, now: Tensor, beta: number): Tensor =>
    old === undefined ? multiply(now, 1 - beta) : add(multiply(old, beta), multiply(now, 1 - beta));
  const before = (name: string, path: string): Tensor | undefined =>
    lookup(state, `${name}.${path}`) as Tensor | undefined;
  return nest(
    leaves(gradients).flatMap(([path, gradient]) => {
      const importance = abs(multiply(lookup(params, path) as Tensor, gradient));
      const sensitivity = mix(before("sensitivity", path), importance, beta1);
      const change = abs(subtract(importance, sensitivity));
      return [
        [`sensitivity.${path}`, sensitivity],
        [`uncertainty.${path}`, mix(before("uncertainty", path), change, beta2)],
      ] as const;
    }),
  ) as Tree;
}

/** The scores of a layer's triplets [r]. */
function tripletScores(state: Tree, path: string): Tensor {
  const score = (name: string): Tensor =>
    multiply(
      lookup(state, `sensitivity.${path}.${name}`) as Tensor,
      lookup(state, `uncertainty.${path}.${name}`) as Tensor,
    );
  const [e, a, b] = [score("e"), mean(score("a"), { axis: 1 }), mean(score("b"), { axis: 0 })];
  return add(reshape(e, [e.size]), add(a, b));
}

/** The parameters with e = 0 where a triplet is not kept. */
function masked(params: Tree, kept: Tree): Tree {
  const next = leaves(kept).map(([path, mask]) =>
    [path, multiply(lookup(params, path) as Tensor, mask)] as const
  );
  return overlay(params, nest(next) as Tree);
}

/** @throws {RangeError} when an option is out of range. */
export function checkBudget(options: BudgetOptions, rank: number): void {
  const { targetRank = 8, initialSteps = 0, finalSteps = 0, interval = 1, beta1 = 0.85, beta2 = 0.85 } =
    options;
  checkPositive("targetRank", targetRank);
  checkPositive("interval", interval);
  if (options.targetRank !== undefined && targetRank > rank) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected targetRank to be at most the rank ${rank} but found ${targetRank}`,
    );
  }
  for (const [name, steps] of Object.entries({ initialSteps, finalSteps })) {
    if (!Number.isInteger(steps) || steps < 0) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected ${name} to be a whole number of steps but found ${steps}`,
      );
    }
  }
  for (const [name, beta] of Object.entries({ beta1, beta2 })) {
    if (!(beta > 0 && beta < 1)) {
      throw rangeError("INVALID_ARGUMENT", `Expected ${name} between 0 and 1 but found ${beta}`);
    }
  }
  if (options.totalSteps !== undefined && initialSteps + finalSteps >= options.totalSteps) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected initialSteps and finalSteps to leave some of the ${options.totalSteps} steps but found ` +
        `${initialSteps} and ${finalSteps}`,
    );
  }
}

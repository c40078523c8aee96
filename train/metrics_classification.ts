/**
 * Quality of predictions: classes (accuracy, F1, Matthews), scores (Pearson, Spearman) and answers to
 * questions (SQuAD's exact match and F1). Equal to scikit-learn, scipy and SQuAD's script
 * (tests/oracles/classification_metrics.py).
 */
import { rangeError } from "../errors/error.ts";

/** Labels to compare: ids or names. */
export type ClassLabels = readonly (string | number)[];

/**
 * The share of correct predictions.
 *
 * @throws {RangeError} when there are none, or the lists differ in length; likewise in all functions here.
 * @example
 * ```ts
 * import { accuracy } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.equal(accuracy(["yes", "no", "yes", "no"], ["yes", "no", "no", "no"]), 0.75);
 * ```
 */
export function accuracy(wanted: ClassLabels, found: ClassLabels): number {
  checkPairs(wanted, found);
  return count(wanted, (w, i) => w === found[i]) / wanted.length;
}

/** Which F1: of one class, or a mean over those that occur as targets or predictions. */
export type F1Average =
  | { readonly of: string | number }
  /** Each class has the same weight. */
  | "macro"
  /** Each prediction has the same weight: equals accuracy where each text has one class. */
  | "micro"
  /** Each class is weighted by its frequency among the targets. */
  | "weighted";

/**
 * F1 = 2 tp / (2 tp + fp + fn); 0 for a class that occurs neither as target nor as prediction.
 *
 * @example
 * ```ts
 * import { f1 } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.equal(f1(["yes", "no", "yes"], ["yes", "yes", "no"], { of: "yes" }), 0.5);
 * ```
 */
export function f1(wanted: ClassLabels, found: ClassLabels, average: F1Average): number {
  checkPairs(wanted, found);
  const of = (label: string | number): number => {
    const hits = count(wanted, (w, i) => w === label && found[i] === label);
    const all = count(wanted, (w) => w === label) + count(found, (f) => f === label);
    return all === 0 ? 0 : 2 * hits / all;
  };
  if (typeof average === "object") return of(average.of);
  if (average === "micro") return accuracy(wanted, found);
  const labels = [...new Set([...wanted, ...found])];
  const weights = labels.map((label) => average === "macro" ? 1 : count(wanted, (w) => w === label));
  return sum(labels.map((label, i) => weights[i]! * of(label))) / sum(weights);
}

/**
 * Matthews' correlation for any number of classes (Gorodkin 2004, R_K): 1 if all are correct, 0 for chance
 * level, also where targets or predictions have only one class.
 *
 * @example
 * ```ts
 * import { matthews } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.equal(matthews([0, 1, 0, 1], [1, 0, 1, 0]), -1); // all wrong
 * assert.equal(matthews([0, 1, 0, 1], [0, 0, 0, 0]), 0); // says nothing
 * ```
 */
export function matthews(wanted: ClassLabels, found: ClassLabels): number {
  checkPairs(wanted, found);
  const n = wanted.length;
  const labels = [...new Set([...wanted, ...found])];
  const [w, f] = [wanted, found].map((list) => labels.map((label) => count(list, (x) => x === label))) as [
    number[],
    number[],
  ];
  const hits = count(wanted, (x, i) => x === found[i]);
  const dot = (a: readonly number[], b: readonly number[]): number => sum(a.map((x, i) => x * b[i]!));
  const spread = (n * n - dot(w, w)) * (n * n - dot(f, f));
  return spread === 0 ? 0 : (hits * n - dot(w, f)) / Math.sqrt(spread);
}

/**
 * Pearson's correlation; NaN where one of the lists is constant.
 *
 * @example
 * ```ts
 * import { pearson } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.ok(Math.abs(pearson([1, 2, 3], [2, 4, 6]) - 1) < 1e-12);
 * assert.ok(Number.isNaN(pearson([1, 2, 3], [5, 5, 5])));
 * ```
 */
export function pearson(a: readonly number[], b: readonly number[]): number {
  checkPairs(a, b);
  const centred = (x: readonly number[]): readonly number[] => {
    const mean = sum(x) / x.length;
    return x.map((value) => value - mean);
  };
  const [x, y] = [centred(a), centred(b)];
  const norm = (v: readonly number[]): number => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
  // A constant list's differences from its mean may be rounding instead of 0.
  if (constant(a) || constant(b)) return NaN;
  return Math.max(-1, Math.min(1, sum(x.map((value, i) => (value / norm(x)) * (y[i]! / norm(y))))));
}

/**
 * Spearman's correlation: Pearson's of the ranks, ties sharing their mean rank.
 *
 * @example
 * ```ts
 * import { spearman } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.ok(Math.abs(spearman([1, 2, 3], [1, 10, 1000]) - 1) < 1e-12); // the order alone counts
 * ```
 */
export function spearman(a: readonly number[], b: readonly number[]): number {
  checkPairs(a, b);
  return pearson(ranks(a), ranks(b));
}

function ranks(values: readonly number[]): readonly number[] {
  const order = values.map((_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const result = new Array<number>(values.length);
  for (let from = 0, to = 0; from < order.length; from = to) {
    while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
    for (let k = from; k < to; k++) result[order[k]!] = (from + to + 1) / 2;
  }
  return result;
}

/** SQuAD's scores of one answer (arXiv 1606.05250, 1806.03822): the best over the reference answers. */
export interface AnswerScores {
  /** 1 or 0: equal up to case, punctuation, articles and white space. */
  readonly exact: number;
  /** F1 of the common words, counted with their multiplicity in both. */
  readonly f1: number;
}

/**
 * Scores an answer against the correct ones.
 *
 * @throws {RangeError} when none is given.
 * @example
 * ```ts
 * import { answerScores } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.deepEqual(answerScores("The Eiffel tower.", ["Eiffel Tower", "the tower"]), { exact: 1, f1: 1 });
 * assert.equal(answerScores("a tower", ["Eiffel Tower"]).f1, 2 / 3);
 * ```
 */
export function answerScores(found: string, wanted: readonly string[]): AnswerScores {
  if (wanted.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Expected at least one right answer but found none");
  }
  const answer = plainWords(found);
  const rights = wanted.map(plainWords);
  return {
    exact: rights.some((right) => right.join(" ") === answer.join(" ")) ? 1 : 0,
    f1: Math.max(...rights.map((right) => wordF1(answer, right))),
  };
}

function plainWords(text: string): readonly string[] {
  const bare = text.toLowerCase().replace(/[!-/:-@[-`{-~]/g, "");
  const named = bare.replace(/(?<![\p{L}\p{N}_])(a|an|the)(?![\p{L}\p{N}_])/gu, " ");
  return named.split(/\s+/).filter((word) => word !== "");
}

function wordF1(a: readonly string[], b: readonly string[]): number {
  // As in version 2.0, where an empty answer means that there is none.
  if (a.length === 0 || b.length === 0) return a.length === b.length ? 1 : 0;
  const left = new Map<string, number>();
  for (const word of b) left.set(word, (left.get(word) ?? 0) + 1);
  const common = count(a, (word) => {
    const n = left.get(word) ?? 0;
    left.set(word, n - 1);
    return n > 0;
  });
  return common === 0 ? 0 : 2 * common / (a.length + b.length);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, x) => total + x, 0);

const constant = (values: readonly number[]): boolean => values.every((x) => x === values[0]);

function count<T>(list: readonly T[], holds: (item: T, i: number) => boolean): number {
  return list.reduce((n, item, i) => holds(item, i) ? n + 1 : n, 0);
}

function checkPairs(a: readonly unknown[], b: readonly unknown[]): void {
  if (a.length !== b.length || a.length === 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected as many predictions as labels, and at least one, but found ${b.length} and ${a.length}`,
    );
  }
}

/** Scores equal scikit-learn's, scipy's and torchmetrics' (tests/oracles/classification_metrics.py). */
import assert from "node:assert/strict";
import {
  accuracy,
  answerScores,
  f1,
  matthews,
  pearson,
  spearman,
} from "../../train/metrics_classification.ts";
import { GOLDEN } from "../support/golden.ts";

const golden = JSON.parse(Deno.readTextFileSync(`${GOLDEN}classification_metrics.json`));

/** 1e-9: other orders of f64 sums. */
function near(found: number, expected: number | null, what: string, within = 1e-9): void {
  if (expected === null) assert.ok(Number.isNaN(found), what);
  else assert.ok(Math.abs(found - expected) <= within, `${what}: expected ${expected} but found ${found}`);
}

Deno.test("accuracy(), f1() and matthews() equal scikit-learn's", () => {
  for (const { wanted, found, binary, ...expected } of golden.classes) {
    const what = JSON.stringify([wanted, found]);
    near(accuracy(wanted, found), expected.accuracy, `accuracy of ${what}`);
    near(matthews(wanted, found), expected.matthews, `matthews of ${what}`);
    for (const average of ["macro", "micro", "weighted"] as const) {
      near(f1(wanted, found, average), expected[average], `${average} of ${what}`);
    }
    if (binary !== undefined) near(f1(wanted, found, { of: 1 }), binary, `f1 of 1 in ${what}`);
  }
});

Deno.test("pearson() and spearman() equal scipy's", () => {
  for (const { a, b, ...expected } of golden.numbers) {
    near(pearson(a, b), expected.pearson, `pearson of ${JSON.stringify([a, b])}`);
    near(spearman(a, b), expected.spearman, `spearman of ${JSON.stringify([a, b])}`);
  }
});

Deno.test("answerScores() equals torchmetrics' SQuAD", () => {
  for (const { found, wanted, exact, f1 } of golden.texts) {
    const scores = answerScores(found, wanted);
    assert.equal(scores.exact, exact, JSON.stringify([found, wanted]));
    near(scores.f1, f1, JSON.stringify([found, wanted]), 1e-7); // torchmetrics counts in f32
  }
});

Deno.test("metrics refuse lists that do not belong together", () => {
  assert.throws(() => accuracy([], []), /at least one, but found 0 and 0/);
  assert.throws(() => f1([1], [1, 2], "macro"), /found 2 and 1/);
  assert.throws(() => pearson([1, 2], [1]), RangeError);
  assert.throws(() => answerScores("x", []), /at least one right answer/);
});

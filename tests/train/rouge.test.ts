import assert from "node:assert/strict";
import { meanRouge, rouge, type RougeScores } from "../../train/rouge.ts";
import { porterStem } from "../../train/porter.ts";

type Row = readonly [reference: string, candidate: string, plain: number[], stemmed: number[]];

const golden = (name: string): string =>
  Deno.readTextFileSync(new URL(`../oracles/golden/rouge/${name}`, import.meta.url));
const pairs = JSON.parse(golden("rouge.json")) as readonly Row[];

const flat = (scores: RougeScores): readonly number[] =>
  [scores.rouge1, scores.rouge2, scores.rougeL, scores.rougeLsum]
    .flatMap(({ precision, recall, f1 }) => [precision, recall, f1]);

/** 1e-6 is the promise; the golden numbers are rounded to 1e-8. */
function assertNear(actual: readonly number[], expected: readonly number[], what: string): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]!) < 1e-6, `${what}, number ${i}: ${value} is not ${expected[i]}`);
  });
}

Deno.test("rouge() equals rouge-score on several hundred pairs", () => {
  assert.ok(pairs.length > 400);
  for (const [reference, candidate, plain] of pairs) {
    assertNear(flat(rouge(reference, candidate)), plain, JSON.stringify([reference, candidate]));
  }
});

Deno.test("rouge() with the Porter stemmer equals rouge-score's use_stemmer", () => {
  for (const [reference, candidate, , stemmed] of pairs) {
    const scores = rouge(reference, candidate, { stemmer: porterStem });
    assertNear(flat(scores), stemmed, JSON.stringify([reference, candidate]));
  }
});

Deno.test("porterStem() equals NLTK's stemmer on every golden word", () => {
  const stems = JSON.parse(golden("porter.json")) as Record<string, string>;
  const wrong = Object.entries(stems).filter(([word, stem]) => porterStem(word) !== stem);
  assert.deepEqual(wrong.map(([word, stem]) => [word, porterStem(word), stem]), []);
  assert.ok(Object.keys(stems).length > 2000);
});

Deno.test("rouge() swaps precision and recall when the n-gram arguments swap", () => {
  for (const [reference, candidate] of pairs) {
    const [there, back] = [rouge(reference, candidate).rouge2, rouge(candidate, reference).rouge2];
    assert.equal(there.precision, back.recall);
  }
});

Deno.test("meanRouge() averages each number over the pairs", () => {
  const mean = meanRouge([
    rouge("a b", "a b"),
    rouge("a b", "c d"),
    rouge("a b", "a"),
    rouge("a b c d", "a"),
  ]);
  assert.equal(mean.rouge1.precision, 3 / 4);
  assert.equal(mean.rouge1.recall, (1 + 0 + 1 / 2 + 1 / 4) / 4);
  assert.throws(() => meanRouge([]), /Cannot average ROUGE scores: there are none/);
});

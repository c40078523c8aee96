/** Samplers leave the probabilities that transformers' logits processors leave (tests/oracles/models.py). */
import assert from "node:assert/strict";
import fc from "fast-check";
import { fold, key } from "../../core/mod.ts";
import { type Sampler, sampleToken, tokenProbabilities } from "../../ops/sampling.ts";
import { assertClose } from "../support/assert.ts";
import { GOLDEN } from "../support/golden.ts";

interface Case {
  readonly sampler: Sampler;
  readonly scores: readonly number[];
  readonly probabilities: readonly number[];
}

const cases: readonly Case[] = JSON.parse(Deno.readTextFileSync(`${GOLDEN}models/sampling.json`));

for (const [i, { sampler, scores, probabilities }] of cases.entries()) {
  Deno.test(`tokenProbabilities() equals transformers in case ${i}, ${JSON.stringify(sampler)}`, () => {
    const found = tokenProbabilities(Float32Array.from(scores), sampler);
    assert.deepEqual([...found].map((p) => p > 0), probabilities.map((p) => p > 0), "other tokens are left");
    assertClose(found, probabilities, 1e-6); // transformers' softmax is in f32
  });
}

const numbers = fc.array(fc.integer({ min: -8, max: 8 }), { minLength: 1, maxLength: 40 });

Deno.test("tokenProbabilities() keeps by topK what a sort keeps, ties included", () => {
  fc.assert(fc.property(numbers, fc.integer({ min: 1, max: 45 }), (scores, topK) => {
    const limit = [...scores].sort((a, b) => b - a)[Math.min(topK, scores.length) - 1]!;
    const found = tokenProbabilities(Float32Array.from(scores), { topK });
    assert.deepEqual([...found].map((p) => p > 0), scores.map((score) => score >= limit));
  }));
});

Deno.test("tokenProbabilities() keeps by topP the fewest best tokens that reach the sum", () => {
  fc.assert(fc.property(numbers, fc.double({ min: 0.01, max: 0.999, noNaN: true }), (scores, topP) => {
    const all = [...tokenProbabilities(Float32Array.from(scores), {})];
    const found = [...tokenProbabilities(Float32Array.from(scores), { topP })];
    const kept = all.filter((_, i) => found[i]! > 0);
    const lost = all.filter((_, i) => found[i] === 0);
    const sum = kept.reduce((a, b) => a + b, 0);
    assert.ok(Math.max(0, ...lost) <= Math.min(...kept));
    assert.ok(sum >= topP - 1e-9 && sum - Math.min(...kept) <= topP + 1e-9);
    assertClose([found.reduce((a, b) => a + b, 0)], [1], 1e-12);
  }));
});

Deno.test("sampleToken() draws as often as the probabilities say", () => {
  const sampler = { temperature: 1.7, topK: 9, topP: 0.8 };
  const row = Float32Array.from(cases[0]!.scores);
  const probabilities = tokenProbabilities(row, sampler);
  const draws = 20_000;
  const counts = new Float64Array(row.length);
  for (let i = 0; i < draws; i++) counts[sampleToken(row, sampler, fold(key(3), i))]!++;
  for (const [i, p] of probabilities.entries()) {
    // Five standard deviations of a binomial count: a right sampler fails once in a million keys.
    assert.ok(Math.abs(counts[i]! - draws * p) <= 5 * Math.sqrt(draws * p * (1 - p)), `token ${i}`);
  }
});

Deno.test("sampleToken() names scores it cannot draw from", () => {
  assert.throws(() => sampleToken(Float32Array.of(1, NaN), {}, key(0)), /largest score is NaN/);
  assert.throws(() => sampleToken(Float32Array.of(-Infinity), {}, key(0)), /largest score is -Infinity/);
});

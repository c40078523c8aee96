/**
 * Bottleneck adapters of every wiring obey the laws of methods. AdapterHub's numbers stand in
 * tests/io/adapterhub/folders.test.ts.
 */
import assert from "node:assert/strict";
import { adapt, type Counts, type Method } from "../../../core/mod.ts";
import { bottleneckAdapter, type BottleneckAdapterOptions } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

const D = 12;
const LAYERS = 2;
/** 2 r d + r + d. */
const bottleneck = (r: number): number => 2 * r * D + r + D;

function wiringLaws(
  title: string,
  options: BottleneckAdapterOptions,
  n: number,
  atInit: "base" | "other" = "other",
): void {
  const method: Method = bottleneckAdapter(options);
  methodLaws(`bottleneckAdapter() ${title}`, {
    method: () => ({ method }),
    atInit,
    merges: "no",
    counts: (): Partial<Counts> => ({ added: n, trainable: n, changed: 0 }),
  });
}

// "gelu" and "tanh", since differences of the loss stumble over the corner of "relu".
wiringLaws(
  "behind both parts, from the norm to the sum, with norms and a scale of its own",
  {
    after: ["attention", "feedForward"],
    reduction: 4,
    activation: "gelu",
    reads: "normed",
    keeps: "sum",
    norms: ["before", "whole"],
    scale: "channel",
  },
  2 * LAYERS * (bottleneck(3) + 2 * 2 * D + D),
);
wiringLaws(
  "beside the part, with both kinds of dropout",
  {
    reduction: { 0: 4, default: 6 },
    activation: "tanh",
    reads: "residual",
    scale: "learned",
    dropout: 0.2,
    branchDropout: 0.4,
  },
  bottleneck(3) + bottleneck(2) + LAYERS,
);
wiringLaws(
  "of factored sums with one rule, in the residual's place",
  {
    reduction: 4,
    activation: "silu",
    keeps: "normed",
    residual: "dropped",
    scale: 1.5,
    phm: { dimension: 3, rank: 2, rule: "shared" },
  },
  LAYERS * (2 * 2 * (D + 3) + 3 + D) + 27,
);
wiringLaws(
  "of full sums with rules of their own, normed behind the branch",
  { reduction: 2, activation: "tanh", norms: ["branch"], phm: { dimension: 2, rank: "full", rule: "own" } },
  LAYERS * (2 * (D * 6 / 2 + 8) + 6 + D + 2 * D),
);

Deno.test("bottleneckAdapter() refuses options out of range, and sizes that do not divide, by name", () => {
  const cases: readonly (readonly [BottleneckAdapterOptions, RegExp])[] = [
    [{ reduction: 0 }, /option "reduction" to be a number above 0 or .* but found 0/],
    [{ reduction: { default: 4, 1: -1 } }, /option "reduction" to be a number above 0 or .* but found .*-1/],
    [{ scale: NaN }, /option "scale" to be a number or "learned" or "channel" but found NaN/],
    [{ dropout: 1 }, /option "dropout" to be a number from 0 up to 1 but found 1/],
    [{ branchDropout: -0.1 }, /option "branchDropout" to be a number from 0 up to 1 but found -0\.1/],
    [
      { phm: { dimension: 1.5, rank: 1, rule: "own" } },
      /option "phm" to be {"dimension": a positive integer of at most 256, .* but found .*1\.5/,
    ],
    [
      { phm: { dimension: 2, rank: 0, rule: "own" } },
      /option "phm" to be .*"rank": a positive integer .* but found .*0/,
    ],
  ];
  for (const [options, message] of cases) assert.throws(() => bottleneckAdapter(options), message);
  const model = tinyLlama(reference(), 1);
  const at = (options: BottleneckAdapterOptions) => () => adapt(model, bottleneckAdapter(options));
  assert.throws(at({ reduction: { 0: 4 } }), /a reduction for block 1 of the decoder or a "default"/);
  assert.throws(at({ reduction: 4, phm: { dimension: 5, rank: 1, rule: "own" } }), /5/);
  assert.throws(at({ after: ["cross"] }), /cross/);
  model.dispose();
});

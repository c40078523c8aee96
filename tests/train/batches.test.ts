import assert from "node:assert/strict";
import fc from "fast-check";
import { key } from "../../tensor/key.ts";
import { countSteps, planEpoch, stepsFrom } from "../../train/batches.ts";
import { type BatchOptions, epochPlan, needsAllSizes } from "../../train/epoch_plan.ts";
import { collate } from "../../train/collate.ts";
import { permutation } from "../../train/shuffle.ts";
import { targetCount, type Tokens } from "../../train/truncation.ts";

const MAX_LENGTH = 24;

/** Rows with every id different over the whole data set, so that nothing can be lost or doubled unseen. */
const dataset: fc.Arbitrary<readonly Tokens[]> = fc
  .array(fc.tuple(fc.nat(12), fc.integer({ min: 1, max: 12 })), { minLength: 1, maxLength: 60, size: "max" })
  .map((sizes) =>
    sizes.map(([prompt, answer], n) => {
      const inputIds = Array.from({ length: prompt + answer }, (_, i) => 1 + n * 100 + i);
      return { inputIds, labels: inputIds.map((id, i) => (i < prompt ? -100 : id)) };
    })
  );

const sizesOf = (data: readonly Tokens[]) => ({
  lengths: data.map(({ inputIds }) => inputIds.length),
  targets: data.map(({ labels }) => targetCount(labels)),
});

const options: fc.Arbitrary<BatchOptions> = fc.record({
  batching: fc.oneof(
    fc.record({
      kind: fc.constant("buckets" as const),
      batchSize: fc.integer({ min: 1, max: 7 }),
      window: fc.integer({ min: 1, max: 5 }),
    }),
    fc.record({
      kind: fc.constant("packing" as const),
      batchSize: fc.integer({ min: 1, max: 4 }),
      maxLength: fc.constant(MAX_LENGTH),
      window: fc.integer({ min: 1, max: 30 }),
    }),
  ),
  accumulate: fc.integer({ min: 1, max: 4 }),
  key: fc.nat().map(key),
});

const sorted = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b);
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

Deno.test("permutation() gives every number once, the same for the same key", () => {
  fc.assert(fc.property(fc.nat(200), fc.nat(), (n, seed) => {
    const order = permutation(n, key(seed));
    assert.deepEqual(sorted(order), upTo(n));
    assert.deepEqual(permutation(n, key(seed)), order);
  }));
});

Deno.test("permutation() draws every order of four equally often", () => {
  const counts = new Map<string, number>();
  const draws = 12_000;
  for (let seed = 0; seed < draws; seed++) {
    const order = permutation(4, key(seed)).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assert.equal(counts.size, 24);
  const expected = draws / 24;
  const chiSquare = [...counts.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
  // 49.7 is the 0.1 % point of chi-square with 23 degrees of freedom; the seeds are fixed, so this cannot flake.
  assert.ok(chiSquare < 49.7, `chi-square is ${chiSquare}`);
});

Deno.test("planEpoch() shows every example exactly once and counts its labels", () => {
  fc.assert(fc.property(dataset, options, fc.nat(5), (data, how, epoch) => {
    const sizes = sizesOf(data);
    const steps = planEpoch(sizes, how, epoch);
    const microBatches = steps.flatMap((step) => step.microBatches);
    assert.deepEqual(sorted(microBatches.flatMap(({ rows }) => rows.flat())), upTo(data.length));
    steps.forEach((step, i) => {
      assert.deepEqual([step.epoch, step.step], [epoch, i]);
      const full = i < steps.length - 1;
      assert.ok(
        full ? step.microBatches.length === how.accumulate : step.microBatches.length <= how.accumulate!,
      );
      assert.equal(step.targets, step.microBatches.reduce((sum, { targets }) => sum + targets, 0));
    });
    for (const { rows } of microBatches) assert.ok(rows.length >= 1 && rows.length <= how.batching.batchSize);
    assert.equal(steps.reduce((sum, { targets }) => sum + targets, 0), sizes.targets.reduce((a, b) => a + b));
  }));
});

Deno.test("planEpoch() is a function of key and epoch, and another epoch has another order", () => {
  fc.assert(fc.property(dataset, options, (data, how) => {
    assert.deepEqual(planEpoch(sizesOf(data), how, 3), planEpoch(sizesOf(data), how, 3));
  }));
  const sizes = { lengths: Array(50).fill(4), targets: Array(50).fill(1) };
  for (const kind of ["buckets", "packing"] as const) {
    const how = { batching: { kind, batchSize: 2, maxLength: 8 }, key: key(1) };
    const order = (epoch: number, seed: number) =>
      planEpoch(sizes, { ...how, key: key(seed) }, epoch).flatMap((s) =>
        s.microBatches.flatMap((m) => m.rows.flat())
      );
    assert.notDeepEqual(order(0, 1), order(1, 1));
    assert.notDeepEqual(order(0, 1), order(0, 2));
  }
});

Deno.test("stepsFrom() resumes at any (epoch, step) as if it had never stopped", () => {
  fc.assert(
    fc.property(dataset, options, fc.nat(30), (data, how, resume) => {
      const sizes = sizesOf(data);
      const whole = stepsFrom(sizes, how);
      const take = (steps: Iterator<unknown>, n: number) =>
        Array.from({ length: n }, () => steps.next().value);
      const before = take(whole, resume + 1) as { epoch: number; step: number }[];
      const { epoch, step } = before[resume]!;
      const resumed = stepsFrom(sizes, how, { epoch, step: step + 1 });
      assert.deepEqual(take(resumed, 5), take(whole, 5));
    }),
    { numRuns: 50 },
  );
});

Deno.test("countSteps() counts what stepsFrom() gives", () => {
  fc.assert(
    fc.property(dataset, options, fc.integer({ min: 1, max: 3 }), (data, how, epochs) => {
      const sizes = sizesOf(data);
      let n = 0;
      for (const step of stepsFrom(sizes, how)) {
        if (step.epoch === epochs) break;
        n++;
      }
      assert.equal(countSteps(sizes, how, epochs), n);
    }),
    { numRuns: 50 },
  );
});

Deno.test("collate() loses no label, keeps segments apart and no row over maxLength", () => {
  fc.assert(fc.property(dataset, options, fc.integer({ min: 1, max: 8 }), (data, how, multipleOf) => {
    const seen: number[] = [];
    for (const { microBatches } of planEpoch(sizesOf(data), how, 0)) {
      for (const { rows, targets } of microBatches) {
        const batch = collate(rows, (n) => data[n]!, { pad: 0, multipleOf });
        const width = batch.inputIds[0]!.length;
        assert.equal(width % multipleOf, 0);
        if (how.batching.kind === "packing") assert.ok(width < MAX_LENGTH + multipleOf);
        else assert.ok(rows.every((row) => row.length === 1));
        let counted = 0;
        rows.forEach((row, r) => {
          const field = <K extends keyof typeof batch>(name: K) => batch[name][r]!;
          for (const name of Object.keys(batch) as (keyof typeof batch)[]) {
            assert.equal(field(name).length, width);
          }
          const real = row.reduce((sum, n) => sum + data[n]!.inputIds.length, 0);
          assert.deepEqual(field("attentionMask"), upTo(width).map((i) => (i < real ? 1 : 0)));
          let at = 0;
          row.forEach((n, segment) => {
            const { inputIds, labels } = data[n]!;
            const end = at + inputIds.length;
            assert.deepEqual(field("inputIds").slice(at, end), inputIds);
            assert.deepEqual(field("labels").slice(at, end), [-100, ...labels.slice(1)]);
            assert.deepEqual(field("positionIds").slice(at, end), upTo(inputIds.length));
            assert.ok(field("segmentIds").slice(at, end).every((id) => id === segment + 1));
            at = end;
          });
          for (const [name, filler] of [["inputIds", 0], ["labels", -100], ["segmentIds", 0]] as const) {
            assert.ok(field(name).slice(real).every((value) => value === filler));
          }
          counted += targetCount(field("labels"));
          seen.push(...field("labels").filter((label) => label !== -100));
        });
        assert.equal(counted, targets);
      }
    }
    const expected = data.flatMap(({ labels }) => labels.slice(1).filter((label) => label !== -100));
    assert.deepEqual(sorted(seen), sorted(expected));
  }));
});

Deno.test("buckets pad less than a plain shuffle, and packing fills rows", () => {
  const lengths = upTo(512).map((i) => 1 + (i * 37) % 128);
  const sizes = { lengths, targets: lengths };
  const padding = (window: number) => {
    const batching = { kind: "buckets", batchSize: 8, window } as const;
    const rectangles = planEpoch(sizes, { batching, key: key(0) }, 0).flatMap((s) => s.microBatches)
      .map(({ rows }) => rows.length * Math.max(...rows.map(([n]) => lengths[n!]!)));
    const tokens = lengths.reduce((a, b) => a + b);
    return 1 - tokens / rectangles.reduce((a, b) => a + b);
  };
  assert.ok(padding(1) > 0.3, `${padding(1)}`);
  assert.ok(padding(32) < 0.05, `${padding(32)}`);
  const batching = { kind: "packing", batchSize: 1, maxLength: 256 } as const;
  const rows = planEpoch(sizes, { batching, key: key(0) }, 0).length;
  const least = Math.ceil(lengths.reduce((a, b) => a + b) / 256);
  assert.ok(rows <= least * 1.02, `${rows} rows where ${least} would be full`);
});

Deno.test("planEpoch() and stepsFrom() refuse what cannot be planned", () => {
  const how = (batching: BatchOptions["batching"]) => ({ batching, key: key(0) });
  const sizes = { lengths: [3, 9], targets: [1, 1] };
  const plan = (batching: BatchOptions["batching"], accumulate = 1) => () =>
    planEpoch(sizes, { ...how(batching), accumulate }, 0);
  assert.throws(
    plan({ kind: "packing", batchSize: 1, maxLength: 8 }),
    /Cannot pack example 1: it has 9 tokens/,
  );
  assert.throws(
    plan({ kind: "buckets", batchSize: 0 }),
    /Expected batchSize to be an integer greater than 0 but found 0/,
  );
  assert.throws(plan({ kind: "buckets", batchSize: 1 }, 0.5), /Expected accumulate/);
  const buckets = how({ kind: "buckets", batchSize: 1 });
  assert.throws(() => planEpoch({ lengths: [], targets: [] }, buckets, 0), /there are no examples/);
  assert.throws(() => planEpoch({ lengths: [1], targets: [] }, buckets, 0), /as many targets as lengths/);
  assert.throws(() => stepsFrom(sizes, buckets, { epoch: 0, step: 3 }).next(), /epoch 0: it has 2 steps/);
  assert.throws(() => stepsFrom(sizes, buckets, { epoch: -1, step: 0 }).next(), RangeError);
  assert.throws(() => collate([], () => ({ inputIds: [], labels: [] }), { pad: 0 }), /it has no rows/);
});

Deno.test("a step needs no other sizes than those of the examples that epochPlan() names", () => {
  const sizes = fc.array(fc.tuple(fc.integer({ min: 2, max: MAX_LENGTH }), fc.nat(9)), {
    minLength: 1,
    maxLength: 60,
  });
  fc.assert(fc.property(sizes, options, (given, order) => {
    const lengths = given.map(([length]) => length);
    const targets = given.map(([, target]) => target);
    const known = { lengths: lengths.map(() => 0), targets: targets.map(() => 0) };
    if (needsAllSizes(order)) Object.assign(known, { lengths, targets });
    const plan = epochPlan(known, order, 1);
    const steps = upTo(plan.steps).map((step) => {
      for (const n of plan.examples(step)) {
        [known.lengths[n], known.targets[n]] = [lengths[n]!, targets[n]!];
      }
      return plan.step(step);
    });
    assert.deepEqual(steps, planEpoch({ lengths, targets }, order, 1));
  }));
});

import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type EarlyStopping,
  type EarlyStoppingState,
  NOTHING_SEEN,
  observe,
} from "../../train/early_stopping.ts";

type Row = readonly [
  patience: number,
  goal: "lower" | "higher",
  values: readonly (number | null)[],
  stopped: number | null,
];

const run = (values: readonly number[], options: EarlyStopping): readonly EarlyStoppingState[] =>
  values.reduce<readonly EarlyStoppingState[]>(
    (states, value, step) => [...states, observe(states.at(-1) ?? NOTHING_SEEN, { step, value }, options)],
    [],
  );

Deno.test("observe() stops where transformers' EarlyStoppingCallback does", () => {
  const url = new URL("../oracles/golden/schedule/early_stopping.json", import.meta.url);
  const rows = JSON.parse(Deno.readTextFileSync(url)) as readonly Row[];
  assert.ok(rows.length > 40);
  for (const [patience, goal, values, stopped] of rows) {
    const states = run(values.map((value) => value ?? NaN), { patience, goal });
    const first = states.findIndex(({ stop }) => stop);
    assert.equal(first === -1 ? null : first + 1, stopped, JSON.stringify([patience, goal, values]));
  }
});

Deno.test("observe() keeps the best value apart from progress by more than minDelta", () => {
  const states = run([1, 0.95, 0.91, 0.89, 0.88, 0.87], { patience: 3, minDelta: 0.1 });
  assert.deepEqual(states.map(({ waited }) => waited), [0, 1, 2, 0, 1, 2]);
  assert.deepEqual(states.map(({ improved }) => improved), [true, true, true, true, true, true]);
  assert.deepEqual(run([1, 0.95, 0.95, 0.96], { patience: 3, minDelta: 0.1 }).at(-1), {
    best: { step: 1, value: 0.95 },
    progress: 1,
    waited: 3,
    improved: false,
    stop: true,
  });
});

Deno.test("observe() never takes NaN for progress", () => {
  const states = run([NaN, NaN], { patience: 2 });
  assert.deepEqual(states.at(-1), { waited: 2, improved: false, stop: true });
  assert.deepEqual(run([NaN, 3, NaN, 4], { patience: 9 }).at(-1)?.best, { step: 1, value: 3 });
});

Deno.test("observe() gives the first best value, whatever minDelta, and survives JSON", () => {
  const values = fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 20, size: "max" });
  const options = fc.record({
    patience: fc.integer({ min: 1, max: 4 }),
    minDelta: fc.nat(3),
    goal: fc.constantFrom("lower" as const, "higher" as const),
  });
  fc.assert(fc.property(values, options, (list, how) => {
    const best = how.goal === "lower" ? Math.min(...list) : Math.max(...list);
    const last = run(list, how).at(-1)!;
    assert.deepEqual(last.best, { step: list.indexOf(best), value: best });
    assert.deepEqual(JSON.parse(JSON.stringify(last)), last);
  }));
});

Deno.test("observe() refuses options out of range", () => {
  const refuse = (options: EarlyStopping) => () => observe(NOTHING_SEEN, { step: 0, value: 1 }, options);
  assert.throws(refuse({ patience: 0 }), /patience to be an integer greater than 0 but found 0/);
  assert.throws(refuse({ patience: 1, minDelta: -1 }), /minDelta to be at least 0 but found -1/);
});

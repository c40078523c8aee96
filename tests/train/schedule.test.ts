import assert from "node:assert/strict";
import {
  constant,
  cosine,
  type CosineOptions,
  inverseSquareRoot,
  linear,
  polynomial,
  type Schedule,
} from "../../train/schedule.ts";

type Row = readonly [name: string, options: CosineOptions, factors: readonly number[]];

const rows = JSON.parse(
  Deno.readTextFileSync(new URL("../oracles/golden/schedule/schedule.json", import.meta.url)),
) as readonly Row[];

const schedules: Record<string, (options: CosineOptions) => Schedule> = {
  constant,
  linear,
  cosine,
  polynomial,
  inverseSquareRoot,
};

for (const name of Object.keys(schedules)) {
  Deno.test(`${name}() equals transformers at every step`, () => {
    const cases = rows.filter((row) => row[0] === name);
    assert.ok(cases.length >= 3);
    for (const [, options, factors] of cases) {
      const schedule = schedules[name]!(options);
      factors.forEach((factor, step) => {
        const actual = schedule(step);
        // 1e-12: the same f64 formula, rounded in another order.
        assert.ok(
          Math.abs(actual - factor) < 1e-12,
          `${name} ${JSON.stringify(options)} step ${step}: ${actual} is not ${factor}`,
        );
      });
    }
  });
}

Deno.test("polynomial() stays defined when the warm-up is the whole run", () => {
  assert.deepEqual([1, 4, 5].map(polynomial({ totalSteps: 4, warmUp: 4, end: 0.5 })), [0.25, 0.5, 0.5]);
});

Deno.test("schedules refuse options out of range", () => {
  assert.throws(
    () => linear({ totalSteps: 4, warmUp: 5 }),
    /warmUp to be at most totalSteps but found 5 and 4/,
  );
  assert.throws(() => linear({ totalSteps: 1.5 }), /totalSteps to be an integer from 0 but found 1.5/);
  assert.throws(() => constant({ warmUp: -1 }), /warmUp to be an integer from 0 but found -1/);
  assert.throws(() => constant({ warmUp: { ratio: 1.5, of: 10 } }), /ratio to be from 0 to 1 but found 1.5/);
  assert.throws(() => cosine({ totalSteps: 4, minimum: NaN }), /minimum to be from 0 to 1 but found NaN/);
  assert.throws(() => polynomial({ totalSteps: 4, power: 0 }), /power to be greater than 0 but found 0/);
  assert.throws(() => inverseSquareRoot({ timescale: 0 }), /timescale to be greater than 0 but found 0/);
});

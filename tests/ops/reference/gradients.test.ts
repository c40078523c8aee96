/** Derivative kernels against central differences of their forward kernels, on random operands. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Operand, size } from "../../../tensor/mod.ts";
import { backend, blank, close, noise, operand, values } from "./operands.ts";

const H = 2 ** -5;
/** Five-point differences: h⁴ of the fifth derivative, plus 6e-8 / h from outputs rounded to f32. */
const TOLERANCE = 2e-4;
const RUNS = { numRuns: 20 };
const seed = fc.integer({ min: 1, max: 1e6 });

/** d/dx Σ g ⊙ f(x), one element at a time. */
function differences(f: (x: Operand) => Operand, x: Operand, g: readonly number[]): number[] {
  const data = values(x);
  const loss = (i: number, step: number) => {
    const moved = data.map((value, j) => (i === j ? value + step : value));
    return values(f(operand(x.shape, moved))).reduce((sum, y, j) => sum + g[j]! * y, 0);
  };
  return data.map((_, i) => (8 * (loss(i, H) - loss(i, -H)) - (loss(i, 2 * H) - loss(i, -2 * H))) / (12 * H));
}

const random = (shape: readonly number[], s: number) => operand(shape, noise(size(shape), s));

Deno.test("softmaxGrad() is the derivative of softmax()", () => {
  fc.assert(
    fc.property(seed, (s) => {
      const x = random([3, 5], s);
      const g = random([3, 5], s + 1);
      const forward = (x: Operand) => {
        const y = blank(x.shape);
        backend.softmax(x, y);
        return y;
      };
      const dx = blank(x.shape);
      backend.softmaxGrad(forward(x), g, dx);
      close(values(dx), differences(forward, x, values(g)), TOLERANCE);
    }),
    RUNS,
  );
});

Deno.test("softmax() sums to one, and gives zeros for a row of −∞", () => {
  const out = blank([2, 3]);
  backend.softmax(operand([2, 3], [1000, 1001, -Infinity, -Infinity, -Infinity, -Infinity]), out);
  const e = Math.exp(1);
  close(values(out), [1 / (1 + e), e / (1 + e), 0, 0, 0, 0], 1e-7);
});

Deno.test("rmsNormGrad() and layerNormGrad() are derivatives", () => {
  fc.assert(
    fc.property(seed, (s) => {
      const [x, w, bias, g] = [
        random([2, 6], s),
        random([6], s + 1),
        random([6], s + 2),
        random([2, 6], s + 3),
      ];
      const [mean, inverse, dx] = [blank([2]), blank([2]), blank([2, 6])];
      const rms = (x: Operand) => {
        const y = blank(x.shape);
        backend.rmsNorm(x, w, 0.1, y, inverse);
        return y;
      };
      const rmsExpected = differences(rms, x, values(g));
      rms(x);
      backend.rmsNormGrad(x, w, inverse, g, dx);
      close(values(dx), rmsExpected, TOLERANCE);
      const layer = (x: Operand) => {
        const y = blank(x.shape);
        backend.layerNorm(x, w, bias, 0.1, y, mean, inverse);
        return y;
      };
      const layerExpected = differences(layer, x, values(g));
      layer(x);
      backend.layerNormGrad(x, w, mean, inverse, g, dx);
      close(values(dx), layerExpected, TOLERANCE);
    }),
    RUNS,
  );
});

Deno.test("attentionGrad() is the derivative of attention() in q, k, v and bias", () => {
  const options = fc.record({
    causal: fc.boolean(),
    window: fc.integer({ min: 0, max: 2 }),
    always: fc.integer({ min: 0, max: 2 }),
  });
  fc.assert(
    fc.property(seed, options, fc.boolean(), (s, options, masked) => {
      const how = { ...options, scale: 0.7, offset: 1 };
      const inputs = [[2, 3, 4, 2], [2, 4, 2, 2], [2, 4, 2, 2], [2, 4, 3, 4]].map((shape, i) =>
        random(shape, s + i)
      );
      const g = random([2, 3, 4, 2], s + 9);
      const mask = masked ? operand([2, 4], [1, 1, 0, 1, 0, 1, 1, 1]) : undefined;
      const [out, lse] = [blank([2, 3, 4, 2]), blank([2, 4, 3])];
      const [q, k, v, bias] = inputs as [Operand, Operand, Operand, Operand];
      backend.attention(q, k, v, mask, bias, how, out, lse);
      const grads = inputs.map((x) => blank(x.shape)) as [Operand, Operand, Operand, Operand];
      backend.attentionGrad(q, k, v, mask, bias, how, out, lse, g, ...grads);
      inputs.forEach((x, i) => {
        const forward = (moved: Operand) => {
          const [a, b, c, d] = inputs.map((y, j) => (i === j ? moved : y)) as typeof grads;
          const y = blank([2, 3, 4, 2]);
          backend.attention(a, b, c, mask, d, how, y, blank([2, 4, 3]));
          return y;
        };
        close(values(grads[i]!), differences(forward, x, values(g)), TOLERANCE, `input ${i}`);
      });
    }),
    { numRuns: 10 },
  );
});

Deno.test("crossEntropyGrad() is the derivative of crossEntropy()", () => {
  fc.assert(
    fc.property(seed, fc.constantFrom(0, 0.2), (s, smoothing) => {
      const x = random([3, 4], s);
      const labels = operand([3], [s % 4, -100, 0], "i32");
      const g = random([3], s + 1);
      const lse = blank([3]);
      const forward = (x: Operand) => {
        const loss = blank([3]);
        backend.crossEntropy(x, labels, smoothing, loss, lse);
        return loss;
      };
      const expected = differences(forward, x, values(g));
      forward(x);
      const dx = blank([3, 4]);
      backend.crossEntropyGrad(x, labels, smoothing, lse, g, dx);
      close(values(dx), expected, TOLERANCE);
      assert.deepEqual(values(dx).slice(4, 8), [0, 0, 0, 0]);
    }),
    RUNS,
  );
});

Deno.test("swigluGrad() is the derivative of swiglu()", () => {
  fc.assert(
    fc.property(seed, (s) => {
      const [gate, up, g] = [0, 1, 2].map((i) => random([7], s + i)) as [Operand, Operand, Operand];
      const [dgate, dup] = [blank([7]), blank([7])];
      backend.swigluGrad(gate, up, g, dgate, dup);
      const forward = (gate: Operand, up: Operand) => {
        const y = blank([7]);
        backend.swiglu(gate, up, y);
        return y;
      };
      close(values(dgate), differences((x) => forward(x, up), gate, values(g)), TOLERANCE);
      close(values(dup), differences((x) => forward(gate, x), up, values(g)), TOLERANCE);
    }),
    RUNS,
  );
});

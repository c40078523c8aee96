import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { BinaryOp, UnaryOp } from "../../../tensor/backend.ts";
import { broadcast, size } from "../../../tensor/shape.ts";
import { f32, i32, noise, random } from "../kernel_operands.ts";
import { compare, withBackends } from "./compare.ts";

/** Every sort of f32: noise of many sizes, ends of the range, subnormals, zeros, infinities, NaN. */
const special = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  2.5,
  -2.5,
  88.7,
  -87.3,
  -103.5,
  89,
  -104,
  1e-40,
  -1e-40,
  3.4e38,
];
const everything = Float32Array.from([
  ...special,
  ...[-3.4e38, Infinity, -Infinity, NaN, 1e-30, -1e-30, 0.6249, 0.6251, 0.9999, 1.0001],
  ...[1e-4, 1e-2, 0.3, 1, 3, 10, 30, 90].flatMap((scale, seed) => [...noise(3001, seed, scale)]),
]);

/** Worst relative error of an op, in units of its own result; sin and cos are held to the size of their range. */
const UNARY: { readonly [op in UnaryOp]: readonly [number, number?] } = {
  negate: [0],
  exp: [2.5e-7],
  log: [2.5e-7],
  sqrt: [1e-7],
  rsqrt: [2e-7],
  reciprocal: [1e-7],
  square: [1e-7],
  abs: [0],
  sign: [0],
  sin: [2e-7],
  cos: [2e-7],
  tanh: [2.5e-7],
  sigmoid: [2.5e-7],
  silu: [3.5e-7],
  relu: [0],
  // In the left tail the rounding of the exponent, −x²/2 or 2u, becomes a relative error of its size · 2^-24.
  gelu: [1.5e-6, 1e-4],
  geluTanh: [1.5e-6, 1e-4],
  erf: [2.5e-7],
  floor: [0],
  round: [0],
};

Deno.test("unary() of wasm agrees with the reference for every op over the whole range", () =>
  withBackends((backends) => {
    for (
      const [op, [relative, floor = 0]] of Object.entries(UNARY) as [UnaryOp, readonly [number, number?]][]
    ) {
      // Sigmoids below the smallest normal number may be 0, and silu multiplies them by up to 104.
      const absolute = op === "sigmoid" || op === "silu" ? 1.3e-36 : 1e-42;
      const gelu = op === "gelu" || op === "geluTanh";
      const values = gelu ? everything.filter((x) => !(Math.abs(x) > 100)) : everything;
      const input = f32([values.length], values);
      compare(
        backends,
        op,
        [input],
        [{ shape: input.shape }],
        { relative, floor, absolute },
        (b, [x], [y]) => b.unary(op, x!, y!),
      );
    }
  }));

Deno.test("unary() of wasm keeps gelu, geluTanh and silu right at the ends", () =>
  withBackends((backends) => {
    for (const op of ["gelu", "geluTanh", "silu"] as const) {
      const input = f32([6], [Infinity, 1e30, 200, -200, NaN, 0]);
      compare(
        backends,
        op,
        [input],
        [{ shape: [6] }],
        { relative: 1e-6 },
        (b, [x], [y]) => b.unary(op, x!, y!),
      );
    }
  }));

const side = fc.integer({ min: 1, max: 6 });
const shapes = fc.tuple(fc.array(side, { maxLength: 4 }), fc.infiniteStream(fc.nat(2)), fc.boolean())
  .map(([out, choose, drop]) => {
    const thin = (from: readonly number[]) => from.map((n) => choose.next().value === 0 ? 1 : n);
    const [a, b] = [thin(out), thin(out)];
    const lead = drop ? a.findIndex((n) => n !== 1) : 0;
    return [lead > 0 ? a.slice(lead) : a, b] as const;
  });

Deno.test("binary() of wasm broadcasts like the reference for every op", () =>
  withBackends((backends) => {
    const ops: readonly BinaryOp[] = [
      ...["add", "subtract", "multiply", "divide", "maximum", "minimum", "power"] as const,
      ...["equal", "less", "lessEqual"] as const,
    ];
    fc.assert(
      fc.property(shapes, fc.constantFrom(...ops), fc.nat(1000), ([a, b], op, seed) => {
        const shape = broadcast(op, a, b);
        // Few different values, so that comparisons meet equal ones.
        const coarse = (n: number, s: number) => noise(n, s, 4).map((x) => Math.round(x * 2) / 2);
        const inputs = [f32(a, coarse(size(a), seed)), f32(b, coarse(size(b), seed + 1))];
        compare(backends, op, inputs, [{ shape }], { relative: 3e-7 }, (k, [x, y], [z]) =>
          k.binary(op, x!, y!, z!));
        if (op === "power") {
          return;
        }
        const whole = [
          i32(a, noise(size(a), seed, 9)),
          i32(
            b,
            noise(size(b), seed + 1, 9).map((x) =>
              Math.trunc(x) || 1
            ),
          ),
        ];
        const dtype = ["equal", "less", "lessEqual"].includes(op) ? "f32" : "i32";
        compare(backends, `${op} of i32`, whole, [{ shape, dtype }], { relative: 0 }, (k, [x, y], [z]) =>
          k.binary(op, x!, y!, z!));
      }),
      { numRuns: 150 },
    );
    const big = [random([300, 257], 1), random([300, 1], 2)];
    compare(backends, "large", big, [{ shape: [300, 257] }], { relative: 1e-7 }, (k, [x, y], [z]) =>
      k.binary("multiply", x!, y!, z!));
    const special = f32([5], [NaN, Infinity, -Infinity, 0, -1]);
    // JavaScript's 1 ** NaN is NaN; IEEE 754, torch and wasm say 1.
    for (
      const op of ops.filter((op) =>
        op !== "power"
      )
    ) {
      const inputs = [special, { ...special, shape: [5, 1] }];
      compare(backends, op, inputs, [{ shape: [5, 5] }], { relative: 0 }, (k, [x, y], [z]) =>
        k.binary(op, x!, y!, z!));
    }
  }));

Deno.test("select() of wasm broadcasts three operands", () =>
  withBackends((backends) =>
    fc.assert(
      fc.property(shapes, shapes, fc.nat(1000), ([a, b], [c], seed) => {
        const fits = c.length <= Math.max(a.length, b.length) ? c.map(() => 1) : [1];
        const shape = broadcast("select", a, b);
        const condition = f32(a, noise(size(a), seed).map((x) => x > 0 ? 0 : x));
        const inputs = [condition, random(fits, seed + 1), random(b, seed + 2)];
        compare(
          backends,
          "select",
          inputs,
          [{ shape }],
          { relative: 0 },
          (k, [x, y, z], [w]) => k.select(x!, y!, z!, w!),
        );
      }),
    )
  ));

Deno.test("swiglu() and swigluGrad() of wasm agree with the reference", () =>
  withBackends((backends) => {
    for (const n of [0, 1, 3, 4, 131, 40_001]) {
      const inputs = [random([n], 1, 6), random([n], 2, 3), random([n], 3)];
      compare(backends, "swiglu", inputs, [{ shape: [n] }], { relative: 5e-7 }, (k, [x, y], [z]) =>
        k.swiglu(x!, y!, z!));
      const outputs = [{ shape: [n] }, { shape: [n] }];
      // silu' crosses zero near −1.28, where its terms cancel.
      compare(
        backends,
        "swigluGrad",
        inputs,
        outputs,
        { relative: 1e-6, floor: 1 },
        (k, [x, y, g], [dx, dy]) =>
          k.swigluGrad(x!, y!, g!, dx!, dy!),
      );
    }
  }));

Deno.test("fill(), copy() and uniform() of wasm equal the reference", () =>
  withBackends((backends) => {
    for (const n of [0, 1, 5, 7, 8, 9, 70_001]) {
      for (const dtype of ["f32", "i32", "f16", "bf16", "u8"] as const) {
        compare(
          backends,
          "fill",
          [],
          [{ shape: [n], dtype }],
          { relative: 0 },
          (k, _, [y]) => k.fill(3.7, y!),
        );
      }
      compare(
        backends,
        "copy",
        [random([n], 1)],
        [{ shape: [n] }],
        { relative: 0 },
        (k, [x], [y]) => k.copy(x!, y!),
      );
      const key = { a: 0x12345678, b: 0xFEDCBA98 };
      compare(backends, "uniform", [], [{ shape: [n] }], { relative: 0 }, (k, _, [y]) => k.uniform(key, y!));
    }
  }));

Deno.test("adamw() of wasm agrees with the reference, with coded moments too", () =>
  withBackends((backends) => {
    const options = {
      learningRate: 1e-2,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.1,
      step: 3,
    };
    for (const n of [1, 5, 20_003]) {
      const inputs = [
        random([n], 1),
        random([n], 2),
        random([n], 3, 0.1),
        f32([n], noise(n, 4, 0.01).map(Math.abs)),
      ];
      const outputs = [{ shape: [n] }, { shape: [n] }, { shape: [n] }];
      // The new first moment is a difference of like terms.
      compare(
        backends,
        "adamw",
        inputs,
        outputs,
        { relative: 3e-7, floor: 1 },
        (k, [p, g, m, v], [p2, m2, v2]) => k.adamw(p!, g!, m!, v!, options, p2!, m2!, v2!),
      );
    }
    assert.throws(() => {
      compare(
        backends,
        "coded",
        [random([300], 1)],
        [{ shape: [300] }],
        { relative: 0 },
        (k, [x], [y]) => k.unary("exp", { ...x!, dtype: "bf16" }, y!),
      );
    }, TypeError);
  }));

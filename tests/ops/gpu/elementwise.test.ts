import assert from "node:assert/strict";
import fc from "fast-check";
import type { BinaryOp, UnaryOp } from "../../../tensor/backend.ts";
import { broadcast, size } from "../../../tensor/shape.ts";
import { gpuTest, withGpu } from "../../support/gpu.ts";
import { compare } from "./compare.ts";
import { EXACT, POWER, ROUNDED, ROW, UNARY } from "./tolerances.ts";
import { f32, i32, noise, random } from "../kernel_operands.ts";

/** Normal numbers of many sizes, the ends of the range, zeros, infinities, NaN. */
const values = Float32Array.from([
  ...[0, -0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 88.7, -87.3, 89, 3.4e38, -3.4e38, Infinity, -Infinity, NaN],
  ...[1e-30, -1e-30, 0.6249, 0.6251, 0.9999, 1.0001],
  ...[1e-4, 1e-2, 0.3, 1, 3, 10, 30, 90].flatMap((scale, seed) => [...noise(501, seed, scale)]),
]);

gpuTest(
  "unary() of gpu agrees with the reference for every op over the whole range",
  () =>
    withGpu(async (gpu) => {
      for (const [op, tolerance] of Object.entries(UNARY) as [UnaryOp, typeof UNARY[UnaryOp]][]) {
        // gelu turns from x² e^(−x²) to 0 or x beyond; sin and cos reduce arguments up to 10^4.
        const near = op.startsWith("gelu")
          ? values.filter((x) => !(Math.abs(x) > 100))
          : op === "sin" || op === "cos"
          ? values.filter((x) => !(Math.abs(x) > 1e4) || !Number.isFinite(x))
          : values;
        const input = f32([near.length], near);
        await compare(
          gpu,
          op,
          [input],
          [{ shape: input.shape }],
          tolerance,
          (k, [x], [y]) => k.unary(op, x!, y!),
        );
      }
    }),
);

const OPS: readonly BinaryOp[] = [
  ...["add", "subtract", "multiply", "divide", "maximum", "minimum", "power"] as const,
  ...["equal", "less", "lessEqual"] as const,
];

/** Two shapes that broadcast, the first perhaps with fewer axes. */
const shapes = fc.tuple(
  fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 5 }),
  fc.array(fc.constantFrom("both", "one", "other"), { minLength: 5, maxLength: 5 }),
  fc.nat(2),
).map(([shape, sides, lead]) => {
  const side = (own: string) => shape.map((n, i) => sides[i] === "both" || sides[i] === own ? n : 1);
  return [side("one").slice(Math.min(lead, shape.length)), side("other")] as const;
});

gpuTest("binary() of gpu broadcasts like the reference, for f32 and i32", () =>
  withGpu(async (gpu) => {
    const property = fc.asyncProperty(
      shapes,
      fc.constantFrom(...OPS),
      fc.nat(1000),
      async ([a, b], op, seed) => {
        const shape = broadcast(op, a, b);
        // Few different values, so that comparisons meet equal ones.
        const coarse = (n: number, s: number) => noise(n, s, 4).map((x) => Math.round(x * 2) / 2);
        const inputs = [f32(a, coarse(size(a), seed)), f32(b, coarse(size(b), seed + 1))];
        const tolerance = op === "power" ? POWER : ROUNDED;
        await compare(gpu, op, inputs, [{ shape }], tolerance, (k, [x, y], [z]) => k.binary(op, x!, y!, z!));
        if (op === "power") return;
        const whole = (s: readonly number[], seed: number) =>
          i32(s, noise(size(s), seed, 9).map((x) => Math.trunc(x) || 1));
        const dtype = ["equal", "less", "lessEqual"].includes(op) ? "f32" as const : "i32" as const;
        await compare(
          gpu,
          `${op} of i32`,
          [whole(a, seed), whole(b, seed + 1)],
          [{ shape, dtype }],
          EXACT,
          (k, [x, y], [z]) => k.binary(op, x!, y!, z!),
        );
      },
    );
    await fc.assert(property, { numRuns: 100 });
  }));

gpuTest("binary() of gpu is right for NaN and infinities, numbers and vectors", () =>
  withGpu(async (gpu) => {
    const special = f32([5], [NaN, Infinity, -Infinity, 0, -1]);
    const others = [{ ...special, shape: [5, 1] }, f32([], [NaN]), f32([], [2]), special];
    for (const op of OPS.filter((op) => op !== "power")) {
      for (const other of others) {
        const shape = broadcast(op, special.shape, other.shape);
        for (const inputs of [[special, other], [other, special]]) {
          await compare(gpu, op, inputs, [{ shape }], EXACT, (k, [x, y], [z]) => k.binary(op, x!, y!, z!));
        }
      }
    }
    const powers = [f32([6], [2, -2, -2, 0, 9, 1.5]), f32([6], [10, 3, 0.5, -1, -0.5, 20.25])];
    await compare(gpu, "power", powers, [{ shape: [6] }], POWER, (k, [x, y], [z]) =>
      k.binary("power", x!, y!, z!));
  }));

gpuTest(
  "select() of gpu broadcasts three operands and takes i32 conditions",
  () =>
    withGpu((gpu) =>
      fc.assert(
        fc.asyncProperty(shapes, fc.boolean(), fc.nat(1000), async ([a, b], whole, seed) => {
          const chosen = noise(size(a), seed).map((x) => x > 0 ? 0 : Math.sign(x) * 3);
          const inputs = [
            whole ? i32(a, chosen) : f32(a, chosen),
            random([1], seed + 1),
            random(b, seed + 2),
          ];
          const out = [{ shape: broadcast("select", a, b.length > 0 ? b : [1]) }];
          await compare(gpu, "select", inputs, out, EXACT, (k, [x, y, z], [w]) => k.select(x!, y!, z!, w!));
        }),
        { numRuns: 60 },
      )
    ),
);

gpuTest(
  "swiglu(), fill(), copy(), uniform() and adamw() of gpu agree with the reference",
  () =>
    withGpu(async (gpu) => {
      const adam = { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, step: 3 };
      for (const n of [0, 1, 3, 4, 131, 20_003]) {
        const shape = [n];
        const [x, y, g] = [random(shape, 1, 6), random(shape, 2, 3), random(shape, 3)];
        await compare(
          gpu,
          "swiglu",
          [x, y],
          [{ shape }],
          UNARY.silu,
          (k, [x, y], [z]) => k.swiglu(x!, y!, z!),
        );
        // silu' crosses zero near −1.28, where its terms cancel.
        await compare(
          gpu,
          "swigluGrad",
          [x, y, g],
          [{ shape }, { shape }],
          ROW,
          (k, [x, y, g], [dx, dy]) => k.swigluGrad(x!, y!, g!, dx!, dy!),
        );
        for (const dtype of ["f32", "i32", "f16", "bf16", "u8"] as const) {
          await compare(gpu, `fill ${dtype}`, [], [{ shape, dtype }], EXACT, (k, _, [y]) => k.fill(3.7, y!));
        }
        await compare(gpu, "copy", [x], [{ shape }], EXACT, (k, [x], [y]) => k.copy(x!, y!));
        const key = { a: 0x12345678, b: 0xFEDCBA98 };
        await compare(gpu, "uniform", [], [{ shape }], EXACT, (k, _, [y]) => k.uniform(key, y!));
        const moments = [random(shape, 3, 0.1), f32(shape, noise(n, 4, 0.01).map(Math.abs))];
        const outputs = [{ shape }, { shape }, { shape }];
        await compare(
          gpu,
          "adamw",
          [x, g, ...moments],
          outputs,
          ROW,
          (k, [p, g, m, v], [p2, m2, v2]) => k.adamw(p!, g!, m!, v!, adam, p2!, m2!, v2!),
        );
      }
    }),
);

gpuTest("kernels of gpu refuse another dtype than they read", () =>
  withGpu((gpu) => {
    const x = { raw: gpu.allocate(64), shape: [32], dtype: "bf16" as const };
    const y = { raw: gpu.allocate(128), shape: [32], dtype: "f32" as const };
    assert.throws(
      () => gpu.unary("exp", x, y),
      /Expected an f32 operand but found bf16 \[32\]: cast it first/,
    );
    assert.throws(() => gpu.permute({ ...x, dtype: "nf4" }, [0], y), TypeError);
    return Promise.resolve();
  }));

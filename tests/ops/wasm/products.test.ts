import * as fc from "fast-check";
import type { AttentionOptions } from "../../../tensor/backend.ts";
import { ggufBlock, isGguf } from "../../../tensor/dtype.ts";
import { broadcast } from "../../../tensor/shape.ts";
import { f32, floats, type Input, matrix, noise, random, run, type Tolerance } from "../kernel_operands.ts";
import { type Backends, compare, withBackends } from "./compare.ts";
import { CODED, coded } from "../weights.ts";

/** An f32 sum of k products of numbers below 1 is off by at most k · 2^-24 of their size, which is far less in practice. */
const summed = (k: number): Tolerance => ({ relative: 1e-6, floor: 1, absolute: k * 2 ** -24 });

function product(
  backends: Backends,
  a: Input,
  b: Input,
  transposeA: boolean,
  transposeB: boolean,
): void {
  const m = a.shape.at(transposeA ? -1 : -2)!;
  const n = b.shape.at(transposeB ? -2 : -1)!;
  const near = summed(a.shape.at(transposeA ? -2 : -1)!);
  const shape = [...broadcast("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n];
  const name = `matmul [${a.shape}]${transposeA ? "ᵀ" : ""} ${b.dtype} [${b.shape}]${transposeB ? "ᵀ" : ""}`;
  compare(
    backends,
    name,
    [a, b],
    [{ shape }],
    near,
    (k, [x, y], [z]) => k.matmul(x!, y!, { transposeA, transposeB }, z!),
  );
}

const both = fc.boolean();

/** [m, n, k] that take several blocks of rows, strips, panels or slabs, or a few rows alone. */
const BLOCKED = [
  [130, 300, 801],
  [700, 9, 33],
  [6, 1100, 50],
  [5, 8, 4500],
  [9, 70, 1536],
  [1, 700, 1025],
  [3, 513, 300],
] as const;

Deno.test("matmul() of wasm agrees with the reference for odd shapes in all orientations", () =>
  withBackends((backends) => {
    const side = fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 13, max: 90 }));
    fc.assert(
      fc.property(side, side, side, both, both, (m, n, k, ta, tb) => {
        product(backends, matrix([], m, k, ta, 1), matrix([], k, n, tb, 2), ta, tb);
      }),
      { numRuns: 200 },
    );
    for (const [m, n, k] of BLOCKED) {
      for (const ta of [false, true]) {
        for (const tb of [false, true]) {
          product(backends, matrix([], m, k, ta, 1), matrix([], k, n, tb, 2), ta, tb);
        }
      }
    }
  }));

/** Sides of out that kernels of narrow products take, and what lies just beyond. */
const narrow = fc.integer({ min: 1, max: 36 });

Deno.test("matmul() of wasm agrees with the reference where out has few columns or few rows", () =>
  withBackends((backends) => {
    const long = fc.integer({ min: 1, max: 300 });
    fc.assert(
      fc.property(long, narrow, long, both, both, both, (l, s, k, flat, ta, tb) => {
        const [m, n] = flat ? [s, l] : [l, s];
        product(backends, matrix([], m, k, ta, 1), matrix([], k, n, tb, 2), ta, tb);
      }),
      { numRuns: 150 },
    );
    // k of several blocks; blocks of out that are whole, and one number more and less.
    for (const [l, s, k] of [[64, 32, 2049], [129, 24, 1100], [63, 8, 1025], [200, 5, 65]] as const) {
      for (const [m, n] of [[l, s], [s, l]] as const) {
        for (const [ta, tb] of [[false, false], [false, true], [true, false], [true, true]] as const) {
          product(backends, matrix([], m, k, ta, 1), matrix([], k, n, tb, 2), ta, tb);
        }
      }
    }
  }));

Deno.test("matmul() of wasm keeps NaN and infinities in their rows and columns where out is narrow", () =>
  withBackends((backends) => {
    const holding = (x: Input, at: number, value: number): Input => {
      const values = floats(x.bytes);
      values[at] = value;
      return f32(x.shape, values);
    };
    fc.assert(
      fc.property(
        fc.constantFrom(NaN, Infinity, -Infinity),
        fc.nat(),
        both,
        both,
        both,
        (value, at, flat, ta, tb) => {
          const [m, n, k] = flat ? [9, 70, 67] : [70, 9, 67];
          const [a, b] = [matrix([], m, k, ta, 1), matrix([], k, n, tb, 2)];
          product(backends, holding(a, at % (m * k), value), b, ta, tb);
          product(backends, a, holding(b, at % (k * n), value), ta, tb);
        },
      ),
      { numRuns: 60 },
    );
  }));

Deno.test("matmul() of wasm broadcasts batches like the reference", () =>
  withBackends((backends) => {
    const small = fc.integer({ min: 1, max: 9 });
    const leads = fc.constantFrom<readonly [readonly number[], readonly number[]]>(
      ...[[[2], []], [[], [3]], [[2, 3], [3]], [[2, 1], [1, 3]], [[1], [2, 2]], [[0], []], [[3, 2], [
        3,
        2,
      ]]] as const,
    );
    fc.assert(
      fc.property(leads, small, small, small, both, both, ([la, lb], m, n, k, ta, tb) => {
        product(backends, matrix(la, m, k, ta, 1), matrix(lb, k, n, tb, 2), ta, tb);
      }),
      { numRuns: 150 },
    );
    product(backends, random([9, 70, 40], 1), random([9, 40, 90], 2), false, false);
  }));

Deno.test("matmul() of wasm spreads NaN and infinities like the reference", () =>
  withBackends((backends) => {
    const a = f32([5, 3], [NaN, 1, 2, Infinity, 1, 1, -Infinity, 0, 1, 1, 2, 3, 4, 5, 6]);
    for (const rows of [1, 5]) {
      const x = { ...a, shape: [rows, 3], bytes: a.bytes.slice(0, 12 * rows) };
      product(backends, x, f32([3, 2], [1, 2, 3, 4, 5, 6]), false, false);
    }
  }));

Deno.test("matmul() of wasm decodes weights of every dtype in both orientations, for one row and for many", () =>
  withBackends((backends) => {
    for (const dtype of CODED) {
      const unit = isGguf(dtype) ? ggufBlock(dtype).elements : 1;
      const sizes = unit === 1
        ? [[37, 101], [9, 530], [64, 64], [7, 192]]
        : [[7, unit], [40, 2 * unit], [3, 5 * unit]];
      for (const shape of sizes) {
        const weight = coded(shape, dtype, 3);
        for (const m of [1, 2, 3, 4, 5, 33]) {
          product(backends, random([m, shape[1]!], 1), weight, false, true);
          product(backends, random([m, shape[0]!], 1), weight, false, false);
        }
      }
    }
    const wide = coded([300, 512], "q4_k", 3);
    product(backends, random([2, 9, 512], 1), wide, false, true);
    product(backends, random([300, 9], 1), wide, true, false);
  }));

Deno.test("matmul() of wasm spreads NaN, infinities and great numbers through coded weights like the reference", () =>
  withBackends((backends) => {
    for (const dtype of CODED) {
      const k = isGguf(dtype) ? 2 * ggufBlock(dtype).elements : 192;
      const weight = coded([5, k], dtype, 3);
      for (const odd of [NaN, Infinity, -Infinity, 3e38]) {
        for (const m of [1, 2, 4]) {
          const x = noise(m * k, 1);
          for (let row = 0; row < m; row += 2) x[row * k + 37] = odd;
          product(backends, f32([m, k], x), weight, false, true);
        }
      }
    }
  }));

const OPTIONS: AttentionOptions = { scale: 0.3, causal: false, offset: 0, window: 0, always: 0 };

interface Case {
  readonly b: number;
  readonly t: number;
  readonly s: number;
  readonly g: number;
  readonly heads: number;
  readonly d: number;
  readonly options: AttentionOptions;
  readonly mask: boolean;
  readonly bias: readonly boolean[] | undefined;
}

/** Compares attention and its derivatives. */
function attend(backends: Backends, { b, t, s, g, heads, d, options, mask, bias }: Case): void {
  const h = g * heads;
  const name = `attention ${JSON.stringify({ b, t, s, h, g, d, mask, bias, options })}`;
  const near = { relative: 3e-6, floor: 1 };
  // g vᵀ − rowsum(g ⊙ out) cancels: d products of numbers below 1, each rounded at 2^-24, then summed over h · t rows.
  const cancelling = { ...near, absolute: 1e-5 };
  const seen = f32([b, s], noise(b * s, 7).map((x) => x > -0.4 ? 1 : 0));
  const biasShape = [b, h, t, s].map((n, i) => bias?.[i] ? n : 1);
  const inputs = [
    random([b, t, h, d], 1),
    random([b, s, g, d], 2),
    random([b, s, g, d], 3),
    seen,
    random(biasShape, 4),
  ];
  const outs = [{ shape: [b, t, h, d] }, { shape: [b, h, t] }];
  compare(
    backends,
    name,
    inputs,
    outs,
    near,
    (k, [q, key, v, m, e], [out, lse]) =>
      k.attention(q!, key!, v!, mask ? m : undefined, bias ? e : undefined, options, out!, lse!),
  );
  const [out, lse] = run(
    backends.oracle,
    inputs,
    outs,
    (k, [q, key, v, m, e], [out, lse]) =>
      k.attention(q!, key!, v!, mask ? m : undefined, bias ? e : undefined, options, out!, lse!),
  );
  const more = [
    ...inputs,
    f32([b, t, h, d], floats(out!)),
    f32([b, h, t], floats(lse!)),
    random([b, t, h, d], 5),
  ];
  const grads = [{ shape: [b, t, h, d] }, { shape: [b, s, g, d] }, { shape: [b, s, g, d] }, {
    shape: [b, h, t, s],
  }];
  compare(
    backends,
    `${name}, gradient`,
    more,
    bias ? grads : grads.slice(0, 3),
    cancelling,
    (k, x, [dq, dk, dv, dbias]) => {
      const [q, key, v, m, e, y, l, up] = x;
      k.attentionGrad(
        q!,
        key!,
        v!,
        mask ? m : undefined,
        bias ? e : undefined,
        options,
        y!,
        l!,
        up!,
        dq!,
        dk!,
        dv!,
        dbias,
      );
    },
  );
}

Deno.test("attention() and attentionGrad() of wasm agree with the reference for all options", () =>
  withBackends((backends) => {
    const options = fc.record({
      scale: fc.constantFrom(1, 0.125),
      causal: both,
      offset: fc.integer({ min: -2, max: 9 }),
      window: fc.constantFrom(0, 0, 1, 5),
      always: fc.constantFrom(0, 0, 2, 30),
    });
    const cases: fc.Arbitrary<Case> = fc.record({
      b: fc.integer({ min: 1, max: 2 }),
      t: fc.integer({ min: 1, max: 20 }),
      s: fc.integer({ min: 1, max: 25 }),
      g: fc.integer({ min: 1, max: 2 }),
      heads: fc.integer({ min: 1, max: 3 }),
      d: fc.constantFrom(1, 4, 6, 16, 20),
      options,
      mask: both,
      bias: fc.option(fc.tuple(both, both, both, both), { nil: undefined }),
    });
    fc.assert(fc.property(cases, (c) => attend(backends, c)), { numRuns: 120 });
  }));

Deno.test("attention() of wasm agrees with the reference across block borders", () =>
  withBackends((backends) => {
    const base = { b: 1, g: 2, heads: 2, d: 16, mask: false, bias: undefined };
    const causal = { ...OPTIONS, causal: true };
    attend(backends, { ...base, t: 70, s: 150, options: OPTIONS });
    attend(backends, { ...base, t: 100, s: 100, options: causal });
    attend(backends, {
      ...base,
      t: 90,
      s: 200,
      options: { ...causal, offset: 110, window: 40, always: 3 },
      mask: true,
    });
    attend(backends, { ...base, t: 65, s: 129, options: causal, bias: [false, true, true, true] });
    // Eight heads of k and v take the pass that does a head whole.
    attend(backends, { ...base, b: 4, t: 70, s: 70, options: causal, mask: true });
    attend(backends, { ...base, b: 3, g: 3, t: 9, s: 140, options: OPTIONS, bias: [true, true, true, true] });
    attend(backends, { ...base, t: 1, s: 300, options: { ...causal, offset: 299 } });
  }));

Deno.test("attention() of wasm gives zeros where a row sees no key, and for no keys", () =>
  withBackends((backends) => {
    const inputs = [
      random([1, 2, 1, 4], 1),
      random([1, 3, 1, 4], 2),
      random([1, 3, 1, 4], 3),
      f32([1, 3], [0, 0, 0]),
    ];
    const outs = [{ shape: [1, 2, 1, 4] }, { shape: [1, 1, 2] }];
    compare(
      backends,
      "blind",
      inputs,
      outs,
      { relative: 0 },
      (k, [q, key, v, m], [y, l]) => k.attention(q!, key!, v!, m, undefined, OPTIONS, y!, l!),
    );
    const none = [random([1, 2, 1, 4], 1), random([1, 0, 1, 4], 2)];
    compare(
      backends,
      "no keys",
      none,
      outs,
      { relative: 0 },
      (k, [q, key], [y, l]) => k.attention(q!, key!, key!, undefined, undefined, OPTIONS, y!, l!),
    );
  }));

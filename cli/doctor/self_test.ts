/** Every kernel of a backend on small random operands, against the reference: what a report of a new card needs. */
import {
  type AttentionOptions,
  type Backend,
  byteLength,
  type DType,
  type Operand,
} from "../../tensor/mod.ts";
import { KERNEL_NAMES, type KernelName } from "../../ops/recording.ts";
import { reference } from "../../ops/reference/mod.ts";
import { codes, input, output, positive, type Value, whole } from "./kernel_operands.ts";

/** How a kernel did. */
export interface KernelResult {
  readonly kernel: KernelName;
  /** Whether all its outputs agree. */
  readonly good: boolean;
  /** The largest difference from the reference, as a share of the largest value. */
  readonly error: number;
  /** What was thrown. */
  readonly failed?: string;
}

/** Differences of f32 sums in other orders, and of a card's own exponential functions, stay below this share. */
const NEAR = 1e-4;

/** A call of a kernel, with the operands that it writes last. */
interface Case {
  readonly values: readonly Value[];
  run(backend: Backend, ...operands: readonly Operand[]): void;
}

const MATRIX = [33, 70];
const ROWS = [33];
const [B, T, H, G, D] = [2, 9, 4, 2, 16];
const MASKED: AttentionOptions = { scale: 0.25, causal: true, offset: 0, window: 0, always: 0 };
const KEY = { a: 1, b: 2 };
const STEP = { learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1, step: 3 };

const one = (values: readonly Value[], run: Case["run"]): readonly Case[] => [{ values, run }];

/** A type of weights: rows of 256 numbers are encoded, and multiplied as they are. */
const WEIGHTS: readonly DType[] = [
  "f16",
  "bf16",
  "int8",
  "nf4",
  "nf4_double",
  "q4_0",
  "q4_1",
  "q8_0",
];

/** Types of weights that files have and nothing here writes. */
const READ_ONLY: readonly DType[] = ["q4_k", "q5_k", "q6_k"];

/** Cases of each kernel; none of those that work on tables which only a model makes. */
const CASES: { readonly [kernel in KernelName]: readonly Case[] } = {
  fill: one([output(MATRIX)], (k, y) => k.fill(3, y!)),
  copy: one([input(MATRIX), output(MATRIX)], (k, x, y) => k.copy(x!, y!)),
  cast: [
    ...WEIGHTS.map((dtype): Case => ({
      values: [input([8, 256]), output([8, 256], dtype), output([8, 256])],
      run: (k, x, coded, y) => {
        k.cast(x!, coded!);
        k.cast(coded!, y!);
      },
    })),
    ...READ_ONLY.map((dtype): Case => ({
      values: [codes([8, 256], dtype), output([8, 256])],
      run: (k, x, y) => k.cast(x!, y!),
    })),
  ],
  unary: (["exp", "tanh", "sigmoid", "silu", "gelu", "geluTanh", "rsqrt", "sin"] as const).map((op) => ({
    values: [positive(MATRIX), output(MATRIX)],
    run: (k, x, y) => k.unary(op, x!, y!),
  })),
  binary: (["add", "multiply", "divide", "maximum", "less"] as const).map((op) => ({
    values: [input(MATRIX), positive([70]), output(MATRIX)],
    run: (k, a, b, y) => k.binary(op, a!, b!, y!),
  })),
  select: one(
    [input(MATRIX), input(MATRIX), input([70]), output(MATRIX)],
    (k, c, a, b, y) => k.select(c!, a!, b!, y!),
  ),
  reduce: (["sum", "max"] as const).flatMap((op) =>
    [[33, 70, 1], [1, 33, 70]].map(([outer, n, inner]) => ({
      values: [input(MATRIX), output([outer!, inner!])],
      run: (k, x, y) => k.reduce(op, x!, outer!, n!, inner!, y!),
    }))
  ),
  argmax: one([input(MATRIX), output(ROWS, "i32")], (k, x, y) => k.argmax(x!, y!)),
  permute: one([input([5, 6, 7]), output([7, 5, 6])], (k, x, y) => k.permute(x!, [2, 0, 1], y!)),
  slice: one([input(MATRIX), output([10, 20])], (k, x, y) => k.slice(x!, [3, 5], y!)),
  place: one([input([10, 20]), output(MATRIX)], (k, x, y) => k.place(x!, [3, 5], y!)),
  concat: one([input([4, 7]), input([9, 7]), output([13, 7])], (k, a, b, y) => k.concat([a!, b!], 0, y!)),
  matmul: [
    ...[[false, false], [false, true], [true, false]].map(([transposeA, transposeB]): Case => ({
      values: [
        input(transposeA ? [130, 67] : [67, 130]),
        input(transposeB ? [95, 130] : [130, 95]),
        output([67, 95]),
      ],
      run: (k, a, b, y) => k.matmul(a!, b!, { transposeA: transposeA!, transposeB: transposeB! }, y!),
    })),
    ...WEIGHTS.flatMap((dtype) =>
      [1, 40].map((rows): Case => ({
        values: [input([rows, 256]), input([64, 256]), output([64, 256], dtype), output([rows, 64])],
        run: (k, a, b, coded, y) => {
          k.cast(b!, coded!);
          k.matmul(a!, coded!, { transposeA: false, transposeB: true }, y!);
        },
      }))
    ),
    ...READ_ONLY.map((dtype): Case => ({
      values: [input([40, 256]), codes([64, 256], dtype), output([40, 64])],
      run: (k, a, b, y) => k.matmul(a!, b!, { transposeA: false, transposeB: true }, y!),
    })),
  ],
  matmulPlus: one(
    [input([33, 64]), input([70, 64]), input([33, 8]), input([70, 8]), output(MATRIX)],
    (k, a, b, c, d, y) => k.matmulPlus?.(a!, b!, { transposeA: false, transposeB: true }, c!, d!, y!),
  ),
  matmulRounded: [
    ...(["q4_0", "q4_1", "q8_0"] as const).flatMap((dtype) =>
      [1, 40].map((rows): Case => ({
        values: [input([rows, 256]), input([64, 256]), output([64, 256], dtype), output([rows, 64])],
        run: (k, a, b, coded, y) => {
          k.cast(b!, coded!);
          k.matmulRounded?.(a!, coded!, y!);
        },
      }))
    ),
    ...READ_ONLY.map((dtype): Case => ({
      values: [input([40, 256]), codes([64, 256], dtype), output([40, 64])],
      run: (k, a, b, y) => k.matmulRounded?.(a!, b!, y!),
    })),
  ],
  gatherRows: one(
    [input(MATRIX), whole([12], 33), output([12, 70])],
    (k, x, i, y) => k.gatherRows(x!, i!, y!),
  ),
  scatterAddRows: one(
    [input([12, 70]), whole([12], 33), output(MATRIX)],
    (k, x, i, y) => k.scatterAddRows(x!, i!, y!),
  ),
  gatherLast: one(
    [input(MATRIX), whole([33, 5], 70), output([33, 5])],
    (k, x, i, y) => k.gatherLast(x!, i!, y!),
  ),
  scatterAddLast: one(
    [input([33, 5]), whole([33, 5], 70), output(MATRIX)],
    (k, x, i, y) => k.scatterAddLast(x!, i!, y!),
  ),
  softmax: one([input(MATRIX, 9), output(MATRIX)], (k, x, y) => k.softmax(x!, y!)),
  softmaxGrad: one(
    [positive(MATRIX), input(MATRIX), output(MATRIX)],
    (k, y, g, dx) => k.softmaxGrad(y!, g!, dx!),
  ),
  rmsNorm: one(
    [input(MATRIX), input([70]), output(MATRIX), output(ROWS)],
    (k, x, w, y, i) => k.rmsNorm(x!, w!, 1e-5, y!, i!),
  ),
  rmsNormGrad: one(
    [input(MATRIX), input([70]), positive(ROWS), input(MATRIX), output(MATRIX)],
    (k, x, w, i, g, dx) => k.rmsNormGrad(x!, w!, i!, g!, dx!),
  ),
  layerNorm: one(
    [input(MATRIX), input([70]), input([70]), output(MATRIX), output(ROWS), output(ROWS)],
    (k, x, w, b, y, m, i) => k.layerNorm(x!, w!, b!, 1e-5, y!, m!, i!),
  ),
  layerNormGrad: one(
    [input(MATRIX), input([70]), input(ROWS), positive(ROWS), input(MATRIX), output(MATRIX)],
    (k, x, w, m, i, g, dx) => k.layerNormGrad(x!, w!, m!, i!, g!, dx!),
  ),
  rope: one(
    [input([B, T, H, D]), input([1, T, D / 2]), input([1, T, D / 2]), output([B, T, H, D])],
    (k, x, c, s, y) => k.rope(x!, c!, s!, false, y!),
  ),
  attention: one(
    [input([B, T, H, D]), input([B, T, G, D]), input([B, T, G, D]), output([B, T, H, D]), output([B, H, T])],
    (k, q, kk, v, y, lse) => k.attention(q!, kk!, v!, undefined, undefined, MASKED, y!, lse!),
  ),
  attentionGrad: one(
    [
      ...[input([B, T, H, D]), input([B, T, G, D]), input([B, T, G, D]), input([B, T, H, D])],
      ...[output([B, T, H, D]), output([B, H, T])],
      ...[output([B, T, H, D]), output([B, T, G, D]), output([B, T, G, D])],
    ],
    (k, q, kk, v, g, y, lse, dq, dk, dv) => {
      k.attention(q!, kk!, v!, undefined, undefined, MASKED, y!, lse!);
      k.attentionGrad(q!, kk!, v!, undefined, undefined, MASKED, y!, lse!, g!, dq!, dk!, dv!, undefined);
    },
  ),
  crossEntropy: one(
    [input(MATRIX, 5), whole(ROWS, 70), output(ROWS), output(ROWS)],
    (k, x, l, loss, lse) => k.crossEntropy(x!, l!, 0.1, loss!, lse!),
  ),
  crossEntropyGrad: one(
    [input(MATRIX, 5), whole(ROWS, 70), input(ROWS), output(ROWS), output(ROWS), output(MATRIX)],
    (k, x, l, g, loss, lse, dx) => {
      k.crossEntropy(x!, l!, 0.1, loss!, lse!);
      k.crossEntropyGrad(x!, l!, 0.1, lse!, g!, dx!);
    },
  ),
  swiglu: one([input(MATRIX), input(MATRIX), output(MATRIX)], (k, a, b, y) => k.swiglu(a!, b!, y!)),
  swigluGrad: one(
    [input(MATRIX), input(MATRIX), input(MATRIX), output(MATRIX), output(MATRIX)],
    (k, a, b, g, da, db) => k.swigluGrad(a!, b!, g!, da!, db!),
  ),
  uniform: one([output(MATRIX)], (k, y) => k.uniform(KEY, y!)),
  walshHadamard: one([input([5, 64]), output([5, 64])], (k, x, y) => k.walshHadamard?.(x!, y!)),
  fastfood: [],
  fastfoodTranspose: [],
  adamw: one(
    [
      input(MATRIX),
      input(MATRIX),
      input(MATRIX),
      positive(MATRIX),
      output(MATRIX),
      output(MATRIX),
      output(MATRIX),
    ],
    (k, p, g, m, v, np, nm, nv) => k.adamw(p!, g!, m!, v!, STEP, np!, nm!, nv!),
  ),
  qr: [],
  svd: [],
  orderStatistic: one([input(MATRIX), output([1])], (k, x, y) => k.orderStatistic?.(x!, 100, y!)),
};

/** Runs every kernel that the backend has and that has cases here. */
export async function selfTest(backend: Backend): Promise<readonly KernelResult[]> {
  const oracle = reference();
  const results: KernelResult[] = [];
  for (const kernel of KERNEL_NAMES) {
    if (backend[kernel] === undefined || oracle[kernel] === undefined || CASES[kernel].length === 0) continue;
    try {
      const errors: number[] = [];
      for (const one of CASES[kernel]) errors.push(await differenceOf(backend, oracle, one));
      const error = errors.reduce((a, b) => Number.isNaN(a) || a > b ? a : b);
      results.push({ kernel, good: error <= NEAR, error });
    } catch (cause) {
      results.push({
        kernel,
        good: false,
        error: NaN,
        failed: cause instanceof Error ? cause.message : String(cause),
      });
    }
  }
  return results;
}

/** The largest difference of a case's outputs; NaN where one has no number and the other has. */
async function differenceOf(backend: Backend, oracle: Backend, one: Case): Promise<number> {
  const [found, wanted] = [await outputsOf(backend, one), await outputsOf(oracle, one)];
  let worst = 0;
  wanted.forEach((numbers, o) => {
    const largest = numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
    numbers.forEach((x, i) => {
      const difference = Math.abs(found[o]![i]! - x) / largest;
      if (!(difference <= worst)) worst = difference;
    });
  });
  return worst;
}

async function outputsOf(backend: Backend, { values, run }: Case): Promise<readonly (readonly number[])[]> {
  const operands = values.map(({ shape, dtype, numbers }): Operand => {
    const bytes = byteLength(dtype, shape);
    const raw = backend.allocate(bytes);
    const given = numbers === undefined ? new Uint8Array(bytes).fill(0x7b) : new Uint8Array(
      (dtype === "f32" ? Float32Array : dtype === "i32" ? Int32Array : Uint8Array).from(numbers).buffer,
    );
    backend.upload(raw, given);
    return { raw, shape, dtype };
  });
  try {
    run(backend, ...operands);
    const plain = operands.filter(({ dtype }, i) =>
      values[i]!.numbers === undefined && (dtype === "f32" || dtype === "i32")
    );
    const read = await Promise.all(
      plain.map(({ raw, dtype, shape }) => backend.download(raw, byteLength(dtype, shape))),
    );
    return read.map((bytes, i) => {
      const { buffer } = bytes.slice();
      return [...plain[i]!.dtype === "i32" ? new Int32Array(buffer) : new Float32Array(buffer)];
    });
  } finally {
    for (const { raw, dtype, shape } of operands) backend.release(raw, byteLength(dtype, shape));
  }
}

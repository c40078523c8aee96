/**
 * Runs one kernel on the reference backend and on the wasm backend with one and with three threads: the values must agree
 * within a tolerance, and the two wasm runs must be the same bits.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Backend, Operand } from "../../core/tensor/backend.ts";
import { byteLength, type DType } from "../../core/tensor/dtype.ts";
import { type Shape, showShape, size } from "../../core/tensor/shape.ts";
import { reference } from "../../ops/reference/mod.ts";
import { wasm } from "../../ops/wasm/mod.ts";

/** An input: numbers for a plain dtype, ready bytes for a coded one. */
export interface Input {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly bytes: Uint8Array;
}

/** What a kernel writes. */
export interface Output {
  readonly shape: Shape;
  readonly dtype?: DType;
}

/** How near wasm must come: |a − b| ≤ absolute + relative · max(|b|, the largest |b| of this output · floor). */
export interface Tolerance {
  readonly relative: number;
  /** Default 1e-42: products with a subnormal factor. */
  readonly absolute?: number;
  /** 0 compares every element with its own size, 1 with the largest element; default 0. */
  readonly floor?: number;
}

/** The three backends that a test compares. */
export interface Backends {
  readonly oracle: Backend;
  readonly single: Backend;
  readonly threaded: Backend;
}

/** Runs a test with the three backends. */
export async function withBackends(test: (backends: Backends) => void | Promise<void>): Promise<void> {
  const [single, threaded] = [await wasm({ threads: 1 }), await wasm({ threads: 3 })];
  try {
    await test({ oracle: reference(), single, threaded });
  } finally {
    single.close();
    threaded.close();
  }
}

/** Numbers in (-1, 1) times `scale`, of a seed: multiples of a golden step, so no two neighbours are alike. */
export function noise(n: number, seed: number, scale: number = 1): Float32Array<ArrayBuffer> {
  let state = (seed * 2654435761 + 1) >>> 0;
  return Float32Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * scale;
  });
}

/** An f32 input. */
export function f32(shape: Shape, values: ArrayLike<number>): Input {
  assert.equal(values.length, size(shape));
  return { shape, dtype: "f32", bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

/** An f32 input of noise. */
export function random(shape: Shape, seed: number, scale: number = 1): Input {
  return f32(shape, noise(size(shape), seed, scale));
}

/** An i32 input. */
export function i32(shape: Shape, values: ArrayLike<number>): Input {
  assert.equal(values.length, size(shape));
  return { shape, dtype: "i32", bytes: new Uint8Array(Int32Array.from(values).buffer) };
}

function place(backend: Backend, { shape, dtype, bytes }: Input): Operand {
  const raw = backend.allocate(byteLength(dtype, shape));
  backend.upload(raw, bytes);
  return { raw, shape, dtype };
}

/** Runs a kernel and gives the bytes of its outputs. Outputs begin with rubbish, so that unwritten elements show. */
export function run(
  backend: Backend,
  inputs: readonly Input[],
  outputs: readonly Output[],
  kernel: (backend: Backend, inputs: readonly Operand[], outputs: readonly Operand[]) => void,
): readonly Uint8Array[] {
  const ins = inputs.map((input) => place(backend, input));
  const outs = outputs.map(({ shape, dtype = "f32" }) =>
    place(backend, { shape, dtype, bytes: new Uint8Array(byteLength(dtype, shape)).fill(0x7B) })
  );
  kernel(backend, ins, outs);
  const results = outs.map(({ raw, dtype, shape }) =>
    backend.download(raw, byteLength(dtype, shape)) as Uint8Array
  );
  for (const { raw, dtype, shape } of [...ins, ...outs]) backend.release(raw, byteLength(dtype, shape));
  return results;
}

/** Asserts that the three backends agree. Outputs that are not f32 must be equal. */
export function compare(
  { oracle, single, threaded }: Backends,
  name: string,
  inputs: readonly Input[],
  outputs: readonly Output[],
  tolerance: Tolerance,
  kernel: (backend: Backend, inputs: readonly Operand[], outputs: readonly Operand[]) => void,
): void {
  const [expected, actual, shared] = [oracle, single, threaded].map((b) => run(b, inputs, outputs, kernel));
  outputs.forEach(({ shape, dtype = "f32" }, i) => {
    const place = `${name}, output ${i} ${dtype} ${showShape(shape)}`;
    assert.ok(Buffer.from(actual![i]!).equals(shared![i]!), `${place}: one and three threads differ`);
    if (dtype === "f32") assertClose(place, floats(actual![i]!), floats(expected![i]!), tolerance);
    else assert.deepEqual(actual![i], expected![i], place);
  });
}

/** The f32 values of bytes. */
export function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}

/** Asserts that values agree within a tolerance; NaN and infinities must agree exactly. */
export function assertClose(
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { relative, absolute = 1e-42, floor = 0 }: Tolerance,
): void {
  assert.equal(actual.length, expected.length, name);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    if (Number.isFinite(expected[i])) largest = Math.max(largest, Math.abs(expected[i]!));
  }
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [actual[i]!, expected[i]!];
    if (Object.is(a, b) || a === b) continue;
    const allowed = relative * Math.max(Math.abs(b), largest * floor) + absolute;
    assert.ok(Math.abs(a - b) <= allowed, `${name}: element ${i} is ${a} but should be ${b}`);
  }
}

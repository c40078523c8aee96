/**
 * What comparisons of kernels share: inputs of a seed, outputs that begin with rubbish, so that unwritten elements show, and
 * what counts as equal.
 */
import assert from "node:assert/strict";
import type { Backend, Operand } from "../../tensor/backend.ts";
import { byteLength, type DType } from "../../tensor/dtype.ts";
import { type Shape, size } from "../../tensor/shape.ts";

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

/** How near a backend must come: |a − b| ≤ absolute + relative · max(|b|, the largest |b| of this output · floor). */
export interface Tolerance {
  readonly relative: number;
  /** Default 1e-42: products with a subnormal factor. */
  readonly absolute?: number;
  /** 0 compares every element with its own size, 1 with the largest element; default 0. */
  readonly floor?: number;
}

/** A kernel call. */
export type Run = (backend: Backend, inputs: readonly Operand[], outputs: readonly Operand[]) => void;

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

/** A random matrix [rows, columns], stored the other way round when transposed. */
export function matrix(
  lead: readonly number[],
  rows: number,
  columns: number,
  transposed: boolean,
  seed: number,
): Input {
  return random([...lead, ...(transposed ? [columns, rows] : [rows, columns])], seed);
}

/** Runs a kernel on a backend, and leaves its operands until `release`. */
export function launch(
  backend: Backend,
  inputs: readonly Input[],
  outputs: readonly Output[],
  kernel: Run,
): { readonly outputs: readonly Operand[]; release(): void } {
  const place = ({ shape, dtype, bytes }: Input): Operand => {
    const raw = backend.allocate(byteLength(dtype, shape));
    backend.upload(raw, bytes);
    return { raw, shape, dtype };
  };
  const ins = inputs.map(place);
  const outs = outputs.map(({ shape, dtype = "f32" }) =>
    place({ shape, dtype, bytes: new Uint8Array(byteLength(dtype, shape)).fill(0x7B) })
  );
  kernel(backend, ins, outs);
  return {
    outputs: outs,
    release(): void {
      for (const { raw, dtype, shape } of [...ins, ...outs]) backend.release(raw, byteLength(dtype, shape));
    },
  };
}

/** Runs a kernel on a backend whose reads do not wait, and gives the bytes of its outputs. */
export function run(
  backend: Backend,
  inputs: readonly Input[],
  outputs: readonly Output[],
  kernel: Run,
): readonly Uint8Array[] {
  const launched = launch(backend, inputs, outputs, kernel);
  const results = launched.outputs.map(({ raw, dtype, shape }) =>
    backend.download(raw, byteLength(dtype, shape)) as Uint8Array
  );
  launched.release();
  return results;
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

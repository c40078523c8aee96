/** Cosines and sines of discrete Fourier transforms. */
import { type Backend, type Tensor, tensor } from "../tensor/mod.ts";
import { add, multiply, subtract } from "./binary.ts";
import { reshape, slice } from "./movement.ts";
import { cos, sin } from "../elementary/trigonometry.ts";

/** cos and sin of 2π p f / n for positions p = 0 … n − 1 and k chosen frequencies: [n, k] each. */
export interface DftTables {
  /** Cosines [n, k]. */
  readonly cos: Tensor;
  /** Sines [n, k]. */
  readonly sin: Tensor;
}

/**
 * The columns of the transform of length n at some frequencies. Angles are reduced as integers, so no
 * precision is lost in f32 for any n, and each of the n angles is computed once; the angle of position p = q
 * m + r is the sum of two, so that about 2 √n values per frequency are looked up instead of n.
 *
 * @example
 * ```ts
 * import { dftTables } from "@graft/peft/ops";
 * import { read, reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { sin } = dftTables([1], 4, reference());
 * assert.ok(Math.abs((await read(sin))[1]! - 1) < 1e-6);
 * ```
 */
export function dftTables(frequencies: readonly number[], n: number, backend: Backend): DftTables {
  const k = frequencies.length;
  const m = Math.ceil(Math.sqrt(n));
  const steps = Math.ceil(n / m);
  const circle = (f: (angle: number) => number): Float32Array =>
    Float32Array.from({ length: n }, (_, i) => f(2 * Math.PI * i / n));
  const exact = (circle: Float32Array, count: number, stride: number): Tensor => {
    const values = new Float32Array(count * k);
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < k; j++) values[i * k + j] = circle[(i * stride * frequencies[j]!) % n]!;
    }
    return tensor(values, { backend, shape: [count, k] });
  };
  const [cosines, sines] = [circle(cos), circle(sin)];
  const coarse = (circle: Float32Array): Tensor => reshape(exact(circle, steps, m), [steps, 1, k]);
  const [cosQ, sinQ] = [coarse(cosines), coarse(sines)];
  const [cosR, sinR] = [exact(cosines, m, 1), exact(sines, m, 1)]; // [m, k]
  const rows = (t: Tensor): Tensor => slice(reshape(t, [steps * m, k]), 0, 0, n);
  return {
    cos: rows(subtract(multiply(cosQ, cosR), multiply(sinQ, sinR))),
    sin: rows(add(multiply(sinQ, cosR), multiply(cosQ, sinR))),
  };
}

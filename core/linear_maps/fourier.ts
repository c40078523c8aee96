/**
 * A matrix from a few coefficients of its spectrum (FourierFT, arXiv 2405.03003): the real part of the inverse
 * two-dimensional Fourier transform of a sparse spectrum with c_k at (u_k, v_k),
 *
 *   ΔW[p, q] = s / (out · in) Σ_k c_k cos(2π (p u_k / out + q v_k / in))
 *            = s / (out · in) (C_out diag(c) C_inᵀ − S_out diag(c) S_inᵀ)        C, S: cosines and sines [·, n]
 */
import type { Tensor } from "../../tensor/mod.ts";
import { dftTables, gatherRows, matmul, multiply, subtract, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";
import { cheapest, rowCount } from "./cheapest.ts";

/** A position (row, column) of the spectrum. */
export type Frequency = readonly [u: number, v: number];

/**
 * The map of coefficients c [n] at n frequencies. Applied as a product of rank 2n, or as the built matrix
 * when that is cheaper.
 *
 * @example
 * ```ts
 * import { fourierMap, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const map = fourierMap(tensor([6], { backend }), [[0, 0]], 3, 2, 1); // one coefficient, at frequency 0
 * assert.deepEqual([...await read(map.weight())], [1, 1, 1, 1, 1, 1]);
 * ```
 */
export function fourierMap(
  c: Tensor,
  frequencies: readonly Frequency[],
  outFeatures: number,
  inFeatures: number,
  scale: number,
): LinearMap {
  const n = frequencies.length;
  const scaled = (): Tensor => multiply(c, scale / (outFeatures * inFeatures));
  const outTables = () => dftTables(frequencies.map(([u]) => u), outFeatures, c.backend); // [out, n]
  const inTables = () => dftTables(frequencies.map(([, v]) => v), inFeatures, c.backend); // [in, n]
  const weight = (): Tensor => {
    const [o, i, weights] = [outTables(), inTables(), scaled()];
    return subtract(
      matmul(multiply(o.cos, weights), i.cos, { transposeB: true }),
      matmul(multiply(o.sin, weights), i.sin, { transposeB: true }),
    );
  };
  const [full, factored] = [inFeatures * outFeatures, 2 * n * (inFeatures + outFeatures)];
  return {
    inFeatures,
    outFeatures,
    tensors: [c],
    cost: Math.min(full, factored),
    weight,
    apply: (x) =>
      cheapest(rowCount(x), [
        { once: 2 * n * full, perRow: full, run: () => matmul(x, weight(), { transposeB: true }) },
        {
          once: 0,
          perRow: factored,
          run: () => {
            const [o, i, weights] = [outTables(), inTables(), scaled()];
            const part = (down: Tensor, up: Tensor): Tensor =>
              matmul(multiply(matmul(x, down), weights), up, { transposeB: true });
            return subtract(part(i.cos, o.cos), part(i.sin, o.sin));
          },
        },
      ]),
    columns: (ids) => gatherRows(transpose(weight()), ids),
  };
}

/**
 * Matrices of circulant blocks (C3A, arXiv 2407.19342). With kernels w [m, n, b] block (i, j) has w_ij as its
 * first row and every further row rotated right by one:
 *
 *   (M x)_i[t] = Σ_j Σ_l w_ij[l] x_j[(t + l) mod b]  =  F⁻¹( Σ_j F(x_j) ⊙ conj F(w_ij) )[t]
 *
 * so that in the frequency domain (⌊b/2⌋ + 1 frequencies for real vectors) each block is an elementwise
 * product of complex numbers.
 */
import { type Tensor, tensor } from "../../tensor/mod.ts";
import {
  concat,
  dftTables,
  gatherRows,
  matmul,
  multiply,
  permute,
  reshape,
  transpose,
} from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";
import { cheapest, leading, rowCount } from "./cheapest.ts";

/**
 * scale · M for kernels [m, n, b], on inputs of n b features. Computed in the frequency domain, or from the
 * built matrix where that is cheaper.
 *
 * @example
 * ```ts
 * import { blockCirculant, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const kernels = tensor([[[1, 2, 3]]], { backend: reference() }); // one block
 * assert.deepEqual([...await read(blockCirculant(kernels, 1).weight())], [1, 2, 3, 3, 1, 2, 2, 3, 1]);
 * ```
 */
export function blockCirculant(kernels: Tensor, scale: number): LinearMap {
  const [m, n, b] = kernels.shape as readonly [number, number, number];
  const [outFeatures, inFeatures] = [m * b, n * b];
  const weight = (): Tensor => {
    const rotated = Array.from({ length: b * b }, (_, i) => (i % b - Math.floor(i / b) + b) % b); // l at (t, t + l)
    const ids = tensor(rotated, { backend: kernels.backend, dtype: "i32" });
    const rows = gatherRows(transpose(reshape(multiply(kernels, scale), [m * n, b])), ids); // [b b, m n]
    return reshape(permute(reshape(rows, [b, b, m, n]), [2, 0, 3, 1]), [outFeatures, inFeatures]);
  };
  const [full, transformed] = [inFeatures * outFeatures, costOfFrequencies(m, n, b)];
  return {
    inFeatures,
    outFeatures,
    tensors: [kernels],
    cost: Math.min(full, transformed),
    weight,
    apply: (x) =>
      cheapest(rowCount(x), [
        { once: full, perRow: full, run: () => matmul(x, weight(), { transposeB: true }) },
        { once: 2 * kernels.size * b, perRow: transformed, run: () => throughFrequencies(kernels, x, scale) },
      ]),
    columns: (ids) => gatherRows(transpose(weight()), ids),
  };
}

const frequenciesOf = (b: number): number => Math.floor(b / 2) + 1;

/** Forward and inverse transforms, and a complex product for each block and frequency. */
const costOfFrequencies = (m: number, n: number, b: number): number =>
  frequenciesOf(b) * (2 * n * b + 4 * m * n + 2 * m * b);

function throughFrequencies(kernels: Tensor, x: Tensor, scale: number): Tensor {
  const [m, n, b] = kernels.shape as readonly [number, number, number];
  const f = frequenciesOf(b);
  const { cos, sin } = dftTables(Array.from({ length: f }, (_, k) => k), b, x.backend); // [b, f]
  const byFrequency = (t: Tensor, table: Tensor): Tensor => permute(matmul(t, table), [2, 0, 1]);
  const pieces = reshape(x, [rowCount(x), n, b]);
  const [xCos, xSin] = [byFrequency(pieces, cos), byFrequency(pieces, sin)]; // [f, rows, n]
  const [wCos, wSin] = [byFrequency(kernels, cos), byFrequency(kernels, sin)]; // [f, m, n]
  const real = concat([wCos, wSin], 2); // F(x) conj F(w) = (xc wc + xs ws) + i (xc ws − xs wc)
  const imaginary = concat([wSin, multiply(wCos, -1)], 2);
  const product = matmul(concat([xCos, xSin], 2), concat([real, imaginary], 1), { transposeB: true }); // [f, rows, 2 m]
  // Frequencies other than 0 and b / 2 count twice, for their mirror images.
  const weights = Array.from({ length: f }, (_, k) => scale / b * (k === 0 || 2 * k === b ? 1 : 2));
  const weighted = multiply(
    concat([cos, multiply(sin, -1)], 1),
    tensor([...weights, ...weights], { backend: x.backend }),
  ); // [b, 2 f]
  const byBlock = permute(reshape(product, [f, rowCount(x), 2, m]), [1, 3, 2, 0]); // [rows, m, 2, f]
  const y = matmul(reshape(byBlock, [rowCount(x) * m, 2 * f]), weighted, { transposeB: true }); // [rows m, b]
  return reshape(y, [...leading(x), m * b]);
}

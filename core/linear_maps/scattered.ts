/**
 * A sparse matrix of a few coefficients, each at a few elements (SHiRA, arXiv 2406.13175; WaveFT, arXiv
 * 2505.12532):
 *
 *   ΔW = s Σ_k c_k Σ_t f_kt E_kt        E_kt: one at the position of element (k, t), zero elsewhere
 *
 * For few rows of x the product is computed element by element, for many with the built matrix.
 */
import type { Tensor } from "../../tensor/mod.ts";
import {
  flatIndices,
  gatherRows,
  matmul,
  multiply,
  reshape,
  scatterAddRows,
  transpose,
} from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";
import { cheapest, leading, rowCount } from "./cheapest.ts";

/** The positions of the coefficients. */
export interface Spread {
  /** i32 [n, t]: the rows of each coefficient's elements. */
  readonly rows: Tensor;
  /** i32 [n, t]: their columns. */
  readonly columns: Tensor;
  /** [n, t]: factor of the coefficient at each element; default 1. */
  readonly factors?: Tensor;
}

/** Cost of gathering or scattering one value by index, in multiply-adds of a matrix product. */
const MOVE = 48;

/**
 * scale times the matrix [out, in] of coefficients c [n]. The positions are recomputed at each use, from the
 * tensors `stored` if any; `each` is t, the number of elements per coefficient.
 *
 * @example
 * ```ts
 * import { read, reference, scattered, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const at = (...places: number[]) => tensor(places.map((i) => [i]), { backend, dtype: "i32" });
 * const spread = { rows: at(0, 1), columns: at(1, 0) };
 * const map = scattered(tensor([5, 7], { backend }), { outFeatures: 2, inFeatures: 2, each: 1 }, 1, () => spread);
 * assert.deepEqual([...await read(map.weight())], [0, 5, 7, 0]);
 * ```
 */
export function scattered(
  c: Tensor,
  { outFeatures, inFeatures, each }: ScatteredSizes,
  scale: number,
  spread: () => Spread,
  stored: readonly Tensor[] = [],
): LinearMap {
  const [full, elements] = [inFeatures * outFeatures, c.size * each];
  const flat = (t: Tensor): Tensor => reshape(t, [elements]);
  /** The elements' values [n · t]. */
  const values = (factors: Tensor | undefined): Tensor => {
    const scaled = reshape(scale === 1 ? c : multiply(c, scale), [c.size, 1]);
    return flat(factors === undefined ? scaled : multiply(scaled, factors));
  };
  const weight = (): Tensor => {
    const { rows, columns, factors } = spread();
    const places = flat(flatIndices(rows, columns, inFeatures));
    return reshape(scatterAddRows(values(factors), places, full, []), [outFeatures, inFeatures]);
  };
  return {
    inFeatures,
    outFeatures,
    tensors: [c, ...stored],
    cost: Math.min(full, elements),
    apply: (x) =>
      cheapest(rowCount(x), [
        { once: full, perRow: full, run: () => matmul(x, weight(), { transposeB: true }) },
        {
          once: 0,
          perRow: MOVE * elements,
          run: () => {
            const { rows, columns, factors } = spread();
            const n = rowCount(x);
            const read = gatherRows(transpose(reshape(x, [n, inFeatures])), flat(columns)); // [n · t, rows of x]
            const y = scatterAddRows(
              multiply(read, reshape(values(factors), [elements, 1])),
              flat(rows),
              outFeatures,
              [n],
            );
            return reshape(transpose(y), [...leading(x), outFeatures]);
          },
        },
      ]),
    weight,
    columns: (ids) => gatherRows(transpose(weight()), ids),
  };
}

/** The sizes of a scattered matrix. */
export interface ScatteredSizes {
  /** Its rows. */
  readonly outFeatures: number;
  /** Its columns. */
  readonly inFeatures: number;
  /** t, the number of elements per coefficient. */
  readonly each: number;
}

/**
 * Low-rank products b a whose factors are computed from other tensors at each use: from rows of a bank,
 * entries of a vector, or random bases with trained scales. If the rank is not low, many rows of x are
 * multiplied by the built matrix instead.
 */
import type { Tensor } from "../../tensor/mod.ts";
import { gatherRows, matmul, transpose } from "../../ops/mod.ts";
import type { Factors, LinearMap } from "./linear_map.ts";
import { cheapest, rowCount } from "./cheapest.ts";

/** The sizes of a low-rank product. */
export interface LowRankSizes {
  /** Columns of a. */
  readonly inFeatures: number;
  /** Rows of b. */
  readonly outFeatures: number;
  /** r: rows of a and columns of b. */
  readonly rank: number;
}

/**
 * The map b a with factors a [r, in] and b [out, r] that `make` computes from `tensors`.
 *
 * @example
 * ```ts
 * import { madeLowRank, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const t = tensor([[3]], { backend: reference() });
 * const map = madeLowRank({ inFeatures: 1, outFeatures: 1, rank: 1 }, [t], () => ({ a: t, b: t }));
 * assert.deepEqual([...await read(map.weight())], [9]);
 * ```
 */
export function madeLowRank(
  { inFeatures, outFeatures, rank }: LowRankSizes,
  tensors: readonly Tensor[],
  make: () => Factors,
): LinearMap {
  const weight = (): Tensor => {
    const { a, b } = make();
    return matmul(b, a);
  };
  const [full, factored] = [inFeatures * outFeatures, rank * (inFeatures + outFeatures)];
  return {
    inFeatures,
    outFeatures,
    tensors,
    cost: Math.min(full, factored),
    weight,
    apply: (x) =>
      cheapest(rowCount(x), [
        {
          once: 0,
          perRow: factored,
          run: () => {
            const { a, b } = make();
            return matmul(matmul(x, a, { transposeB: true }), b, { transposeB: true });
          },
        },
        { once: rank * full, perRow: full, run: () => matmul(x, weight(), { transposeB: true }) },
      ]),
    columns: (ids) => {
      const { a, b } = make();
      return matmul(gatherRows(transpose(a), ids), b, { transposeB: true });
    },
    factors: make,
  };
}

/**
 * The elementwise product of two low-rank matrices (FedPara, Hyeon-Woo et al. 2021, arXiv 2108.06098, section 2):
 *
 *   ΔW = s · (A1 B1) ⊙ (A2 B2)        A [out, r]   B [r, in]        rank up to r²
 *
 * Its rows are products of rows, so ΔW = s · (A1 * A2)(B1 * B2) with Khatri–Rao products of width r²: this is
 * cheaper where r² (in + out) < in · out.
 */
import type { Tensor } from "../../tensor/mod.ts";
import { gatherRows, matmul, multiply, reshape, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";
import { cheapest, rowCount } from "./cheapest.ts";

/** Both pairs of factors: a [out, r], b [r, in]. */
export interface HadamardFactors {
  /** A1 [out, r]. */
  readonly w1a: Tensor;
  /** B1 [r, in]. */
  readonly w1b: Tensor;
  /** A2 [out, r]. */
  readonly w2a: Tensor;
  /** B2 [r, in]. */
  readonly w2b: Tensor;
}

/**
 * scale · (w1a w1b) ⊙ (w2a w2b).
 *
 * @example
 * ```ts
 * import { hadamardLowRank, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const column = (x: number, y: number) => tensor([[x], [y]], { backend });
 * const row = (x: number, y: number) => tensor([[x, y]], { backend });
 * const map = hadamardLowRank({ w1a: column(1, 2), w1b: row(1, 1), w2a: column(1, 1), w2b: row(3, 4) }, 1);
 * assert.deepEqual([...await read(map.weight())], [3, 4, 6, 8]); // [1 1; 2 2] ⊙ [3 4; 3 4]
 * ```
 */
export function hadamardLowRank({ w1a, w1b, w2a, w2b }: HadamardFactors, scale: number): LinearMap {
  const [outFeatures, r] = [w1a.shape[0]!, w1a.shape[1]!];
  const inFeatures = w1b.shape[1]!;
  const scaled = (t: Tensor): Tensor => scale === 1 ? t : multiply(t, scale);
  const weight = (): Tensor => scaled(multiply(matmul(w1a, w1b), matmul(w2a, w2b)));
  const left = (): Tensor =>
    // [out, r²]
    reshape(multiply(reshape(w1a, [outFeatures, r, 1]), reshape(w2a, [outFeatures, 1, r])), [
      outFeatures,
      -1,
    ]);
  const right = (): Tensor =>
    // [r², in]
    reshape(multiply(reshape(w1b, [r, 1, inFeatures]), reshape(w2b, [1, r, inFeatures])), [-1, inFeatures]);
  const [full, factored] = [inFeatures * outFeatures, r * r * (inFeatures + outFeatures)];
  return {
    inFeatures,
    outFeatures,
    tensors: [w1a, w1b, w2a, w2b],
    cost: Math.min(full, factored),
    weight,
    apply: (x) =>
      cheapest(rowCount(x), [
        { once: (2 * r + 1) * full, perRow: full, run: () => matmul(x, weight(), { transposeB: true }) },
        {
          once: factored,
          perRow: factored,
          run: () => scaled(matmul(matmul(x, right(), { transposeB: true }), left(), { transposeB: true })),
        },
      ]),
    columns: (ids) => {
      const part = (a: Tensor, b: Tensor): Tensor =>
        matmul(gatherRows(transpose(b), ids), a, { transposeB: true }); // [...ids, out]
      return scaled(multiply(part(w1a, w1b), part(w2a, w2b)));
    },
  };
}

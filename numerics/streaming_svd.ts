/**
 * Principal components of rows that come in batches (Ross et al. 2008, "Incremental Learning for Robust
 * Visual Tracking", as in scikit-learn's IncrementalPCA): the components so far, scaled by their singular
 * values, represent all rows seen.
 */
import type { Key, Tensor } from "../tensor/mod.ts";
import {
  abs,
  add,
  argmax,
  concat,
  gatherLast,
  leading,
  mean,
  multiply,
  randomizedSvd,
  reshape,
  sign,
  subtract,
  sum,
  sumOfSquares,
  type Svd,
  svd,
} from "../ops/mod.ts";

/** Summary of the rows seen so far. */
export interface Components {
  /** Number of rows seen. */
  readonly rows: number;
  /** Mean of the rows [1, d]. */
  readonly mean: Tensor;
  /** Sum of squared distances from the mean: a scalar. */
  readonly spread: Tensor;
  /**
   * Unit rows [c, d] in order of decreasing importance; the entry of largest magnitude in each is positive.
   */
  readonly directions: Tensor;
  /** Singular values [c]. */
  readonly values: Tensor;
}

/** How batches are decomposed. */
export type Decomposition = "exact" | { readonly iterations: number; readonly key: Key };

/** The components with the rows x [n, d] of one more batch; n is at least `count`, as is d. */
export function withRows(
  before: Components | undefined,
  x: Tensor,
  count: number,
  how: Decomposition,
): Components {
  const n = x.shape[0]!;
  const own = mean(x, { axis: 0, keepAxes: true }); // [1, d]
  const centred = subtract(x, own);
  const decompose = (rows: Tensor): Pick<Components, "directions" | "values"> => {
    const parts = how === "exact"
      ? leading(svd(rows), count)
      : randomizedSvd(rows, { ...how, rank: count, oversampling: count });
    return { directions: positive(parts), values: parts.s };
  };
  if (before === undefined) {
    return { rows: n, mean: own, spread: sumOfSquares(centred), ...decompose(centred) };
  }
  const rows = before.rows + n;
  const apart = subtract(before.mean, own);
  const weight = before.rows * n / rows;
  const spread = add(add(before.spread, sumOfSquares(centred)), multiply(sumOfSquares(apart), weight));
  const seen = multiply(before.directions, reshape(before.values, [-1, 1])); // represents the rows seen
  return {
    rows,
    mean: add(own, multiply(apart, before.rows / rows)),
    spread,
    ...decompose(concat([seen, centred, multiply(apart, Math.sqrt(weight))], 0)),
  };
}

/** Cosines between each direction and the same one of another state [c]. */
export function cosines(a: Components, b: Components): Tensor {
  return sum(multiply(a.directions, b.directions), { axis: 1 });
}

function positive({ vt }: Svd): Tensor {
  const largest = reshape(argmax(abs(vt)), [-1, 1]);
  return multiply(vt, sign(gatherLast(vt, largest)));
}

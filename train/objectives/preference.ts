/** What objectives on preferences share: batches whose first half is chosen and whose second half is rejected. */
import { type Batch, detach, type Tensor } from "../../core/mod.ts";
import {
  binaryCrossEntropy,
  gatherRows,
  integers,
  less,
  mean,
  negate,
  ones,
  subtract,
  zeros,
} from "../../ops/mod.ts";

/** A batch of n pairs, 2 n rows: the chosen ones, then the rejected ones in the same order. */
export interface PreferenceBatch extends Batch {
  /** [labels] the reference's log-probability of each labelled token, text after text, where it is known already. */
  readonly reference?: readonly number[];
  /** [n] by how much the reward of the chosen one is to be above the other's; default 0. */
  readonly margins?: readonly number[];
}

/** How many pairs a batch has. */
export const pairCount = ({ inputIds }: Batch): number => inputIds.length / 2;

/** The two halves of [2n]. */
export function halves(x: Tensor): readonly [chosen: Tensor, rejected: Tensor] {
  const n = x.shape[0]! / 2;
  const rows = (from: number): Tensor =>
    gatherRows(x, integers(Array.from({ length: n }, (_, i) => from + i), x.backend));
  return [rows(0), rows(n)];
}

/** log σ(x), finite for any x. */
export function logSigmoid(x: Tensor): Tensor {
  return negate(binaryCrossEntropy(x, ones(x.shape, x.backend)));
}

/** Means of the rewards of pairs: chosen, rejected, the margin between them, and how often it is above 0. */
export function rewardMetrics(chosen: Tensor, rejected: Tensor): Readonly<Record<string, Tensor>> {
  const [better, worse] = [detach(chosen), detach(rejected)];
  const margin = subtract(better, worse);
  return {
    "rewards/chosen": mean(better),
    "rewards/rejected": mean(worse),
    "rewards/margins": mean(margin),
    "rewards/accuracies": mean(less(zeros(margin.shape, margin.backend), margin)),
  };
}

/**
 * Objectives of models that make vectors of texts. With vectors a of anchors, p of what belongs to them and n of what does not, and
 * s the cosine of the angle between two vectors times a scale,
 *
 *     ranking   −log softmax_j s(a_i, c_j) at j = i, over all candidates c of the batch: every p, and every n   (Henderson et al. 2017,
 *               arXiv 1705.00652); "symmetric" is the mean with the same the other way round, over the anchors of each p
 *     triplet   max(0, |a − p| − |a − n| + margin)                                          (Reimers and Gurevych 2019, arXiv 1908.10084)
 *     cosent    log(1 + Σ exp(s(a_i, p_i) − s(a_j, p_j))) over i, j of which j is the nearer pair                      (Su 2022)
 *
 * They are those of sentence-transformers: MultipleNegativesRankingLoss, TripletLoss and CoSENTLoss.
 */
import { type Batch, type ForwardOptions, type Model, type Tensor, tensor } from "../../core/mod.ts";
import {
  add,
  concat,
  crossEntropy,
  divide,
  gatherRows,
  integers,
  logSumExp,
  matmul,
  maximum,
  mean,
  multiply,
  relu,
  reshape,
  sqrt,
  subtract,
  sum,
  sumOfSquares,
  zeros,
} from "../../ops/mod.ts";
import type { Objective, Scores } from "./objective.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Makes vectors of a batch's texts [b, d]. */
export type VectorsOf = (model: Model, batch: Batch, options: ForwardOptions) => Tensor;

/** A batch of n groups: the n anchors, then what belongs to each, then perhaps what does not. */
export interface GroupBatch extends Batch {
  /** Texts in a group: 2, or 3 with one that does not belong. */
  readonly columns: number;
  /** [n] how near the two texts of each group are. */
  readonly similarities?: readonly number[];
}

/** What every objective of vectors has in common. */
export interface VectorObjective {
  /** Makes the vectors. */
  readonly vectors: VectorsOf;
}

const unitsOf = (batch: Batch): number => batch.inputIds.length / (batch as GroupBatch).columns;

function objective(
  vectors: VectorsOf,
  loss: (columns: readonly Tensor[], batch: GroupBatch) => Tensor,
): Objective {
  return {
    units: unitsOf,
    scores: (model, batch, options): Scores => ({
      logits: vectors(model, batch, options),
      ids: [],
      texts: batch.inputIds.map((_, i) => i),
    }),
    loss: ({ logits }, batch) => {
      const { columns } = batch as GroupBatch;
      const n = unitsOf(batch);
      const column = (c: number): Tensor =>
        gatherRows(logits, integers(Array.from({ length: n }, (_, i) => c * n + i), logits.backend));
      return loss(Array.from({ length: columns }, (_, c) => column(c)), batch as GroupBatch);
    },
  };
}

/**
 * In-batch negatives. Larger batches are harder and teach more; passes of a step do not see each other's texts.
 *
 * @param options `scale`: of the cosines, default 20; `symmetric`: also the other way round, default false.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { embed } from "@graft/peft/models";
 * import { evaluateObjective, groupRowsFrom, ranking } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const rows = groupRowsFrom([{ texts: [[1, 2], [1, 2]] }, { texts: [[7, 8, 9], [7, 8, 9]] }]);
 * const objective = ranking({ vectors: (model, batch, options) => embed(model, batch, { ...options, pooling: "mean" }) });
 * const { loss } = await evaluateObjective(model, rows, objective, { batchSize: 2, pad: 0 });
 * assert.ok(loss < Math.log(2)); // each text is nearest to itself
 * ```
 */
export function ranking(
  { vectors, scale = 20, symmetric = false }: VectorObjective & {
    readonly scale?: number;
    readonly symmetric?: boolean;
  },
): Objective {
  return objective(vectors, ([anchors, positives, ...negatives]) => {
    const n = anchors!.shape[0]!;
    const own = integers(Array.from({ length: n }, (_, i) => i), anchors!.backend);
    const candidates = negatives.length === 0 ? positives! : concat([positives!, ...negatives], 0);
    const scores = multiply(matmul(unit(anchors!), unit(candidates), { transposeB: true }), scale); // [n, candidates]
    const forwards = mean(crossEntropy(scores, own));
    if (!symmetric) return forwards;
    const back = multiply(matmul(unit(positives!), unit(anchors!), { transposeB: true }), scale);
    return multiply(add(forwards, mean(crossEntropy(back, own))), 0.5);
  });
}

/**
 * Anchors nearer to what belongs to them than to what does not, by a margin of Euclidean distance.
 *
 * @param options `margin`: default 5, as in sentence-transformers; vectors of length 1 need one below 2.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { embed } from "@graft/peft/models";
 * import { evaluateObjective, groupRowsFrom, triplet } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const rows = groupRowsFrom([{ texts: [[1, 2], [1, 2], [1, 2]] }]);
 * const objective = triplet({ vectors: embed, margin: 1 });
 * const { loss } = await evaluateObjective(model, rows, objective, { batchSize: 1, pad: 0 });
 * assert.ok(Math.abs(loss - 1) < 1e-4); // all the same, so that only the margin is left
 * ```
 */
export function triplet({ vectors, margin = 5 }: VectorObjective & { readonly margin?: number }): Objective {
  return objective(vectors, (columns) => {
    if (columns.length !== 3) {
      throw rangeError("INVALID_BATCH", `Expected triplets but found groups of ${columns.length} texts`);
    }
    const [anchor, positive, negative] = columns as readonly [Tensor, Tensor, Tensor];
    return mean(relu(add(subtract(distance(anchor, positive), distance(anchor, negative)), margin)));
  });
}

/**
 * The order of similarities: pairs that are nearer by their scores are to be nearer by their vectors.
 *
 * @param options `scale`: of the cosines, default 20.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { embed } from "@graft/peft/models";
 * import { cosent, evaluateObjective, groupRowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const rows = groupRowsFrom([
 *   { texts: [[1, 2], [1, 2]], similarity: 1 }, { texts: [[3], [3]], similarity: 0 },
 * ]);
 * const { loss } = await evaluateObjective(model, rows, cosent({ vectors: embed }), { batchSize: 2, pad: 0 });
 * assert.ok(Math.abs(loss - Math.LN2) < 1e-4); // equal cosines in one pair of pairs
 * ```
 */
export function cosent({ vectors, scale = 20 }: VectorObjective & { readonly scale?: number }): Objective {
  return objective(vectors, ([a, b], { similarities }) => {
    if (similarities === undefined) {
      throw typeError("INVALID_BATCH", "Expected pairs with scores of how near they are");
    }
    const { backend } = a!;
    const cosines = multiply(sum(multiply(unit(a!), unit(b!)), { axis: -1 }), scale); // [n]
    const n = similarities.length;
    const apart = subtract(reshape(cosines, [n, 1]), reshape(cosines, [1, n])); // [i, j]: s_i − s_j
    const counted = similarities.flatMap((i) => similarities.map((j) => i < j ? 0 : -1e12));
    const terms = reshape(add(apart, reshape(tensor(counted, { backend }), [n, n])), [n * n]);
    return logSumExp(concat([zeros([1], backend), terms], 0));
  });
}

/** Rows of length 1. */
function unit(x: Tensor): Tensor {
  return divide(x, maximum(sqrt(sumOfSquares(x, { axis: -1, keepAxes: true })), 1e-12));
}

/** |a − b + 1e-6| of each row, as PyTorch's pairwise distance. */
function distance(a: Tensor, b: Tensor): Tensor {
  return sqrt(sumOfSquares(add(subtract(a, b), 1e-6), { axis: -1 }));
}

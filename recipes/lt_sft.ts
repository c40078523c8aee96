/**
 * LT-SFT's phases (arXiv 2110.07560, section 3; `src/sft/lt_sft.py`): fine-tune all, unfreeze the weights
 * that moved farthest, rewind, fine-tune those; n times. Optimizer and schedule restart in each phase.
 */
import {
  type Adapter,
  copyTree,
  dispose,
  leaves,
  type Model,
  nest,
  overlay,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../core/mod.ts";
import {
  denseOf,
  emptyMask,
  ltSft,
  ltSftDense,
  type LtSftLeaves,
  ltSftLeaves,
  widenedMask,
} from "../methods/selective/lt_sft.ts";
import { maskSize, type SparseMask } from "../methods/selective/sparse.ts";
import { add, concat, gatherRows, integers, zeros } from "../ops/mod.ts";
import type { Rows } from "../train/mod.ts";
import { type StageOptions, trainStage } from "./stage.ts";

/** Options of the phases. */
export interface LtSftRecipe extends LtSftLeaves {
  /**
   * k, number of weights trained in the end; 14,155,776 for tasks in the paper, 7.96 % of mBERT. Weights tied
   * with the last selected one are trained too, which are many after a single step of Adam.
   */
  readonly elements: number;
  /** n, default 1. */
  readonly iterations?: number;
  /** λ, default 0. */
  readonly pull?: number;
  /** The phase in which all weights are trained. */
  readonly full: StageOptions;
  /** The phase in which the masked weights are trained. */
  readonly sparse: StageOptions;
}

/**
 * Trains by LT-SFT. The caller owns the result.
 *
 * @throws {RangeError} when `elements` is less than one per iteration.
 * @example
 * ```ts
 * import { count, freshModel, reference, smallConfig, trainLtSft } from "@graft/peft";
 * import { rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama", { layers: 1 }), { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3], labels: [1, 2, 3] }]);
 * const stage = { learningRate: 1e-3, batching: { kind: "buckets", batchSize: 1 }, epochs: 4, pad: 0 } as const;
 * const adapter = await trainLtSft(model, rows, { elements: 20, iterations: 2, full: stage, sparse: stage });
 * assert.equal(count(model, adapter).trainable, 20);
 * ```
 */
export async function trainLtSft(model: Model, rows: Rows, recipe: LtSftRecipe): Promise<Adapter> {
  const { iterations = 1, elements, pull = 0 } = recipe;
  const each = Math.floor(elements / iterations);
  if (!Number.isInteger(iterations) || iterations < 1 || !(each >= 1)) {
    throw new RangeError(
      `Expected elements for at least one weight in each iteration but found ${elements} elements for ${iterations} ` +
        "iterations; raise elements (on the command line: ratio)",
    );
  }
  const which = ltSftLeaves(model, recipe);
  let mask = emptyMask(model, which);
  const total = mask.leaves.reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0);
  const dense = ltSftDense(which, total, pull);
  if (each * iterations > total) {
    throw new RangeError(`Expected to unfreeze at most the ${total} maskable weights but found ${elements}`);
  }
  let start: Adapter | undefined;
  for (let i = 0; i < iterations; i++) {
    const from = start;
    try {
      const params = scope((): Synchronous<Tree> =>
        (from === undefined
          ? dense.init({ model, key: 0 })
          : nest(denseOf(mask, from.params, model))) as Synchronous<Tree>
      );
      const moved = await trainStage(model, { method: dense, params }, rows, recipe.full);
      const widened = await widenedMask(mask, moved.params, each).finally(() => dispose(moved.params));
      const rewound = rewind(model, mask, from?.params, widened, pull);
      start = await trainStage(model, rewound, rows, recipe.sparse);
      mask = widened;
    } finally {
      dispose(from?.params);
    }
  }
  return start!;
}

/** The sparse phase's initial values: those at the beginning of the iteration, zero for new elements. */
function rewind(
  model: Model,
  before: SparseMask,
  params: Tree | undefined,
  mask: SparseMask,
  pull: number,
): Adapter {
  const method = ltSft({ mask, pull });
  const fresh = method.init({ model, key: 0 });
  if (params === undefined || maskSize(before) === 0) return { method, params: fresh };
  const old = new Map(leaves(params));
  const carried = scope((): Synchronous<Tree> => {
    const values = mask.leaves.flatMap(({ path, indices }, i): readonly (readonly [string, Tensor])[] => {
      const earlier = before.leaves[i]!.indices;
      if (indices.length === 0 || earlier.length === 0) return [];
      // The earlier values, followed by a zero used for every new element.
      const place = new Map(Array.from(earlier, (index, n) => [index, n]));
      const from = integers(
        Array.from(indices, (index) => place.get(index) ?? earlier.length),
        model.backend,
      );
      const padded = concat([old.get(`${path}.values`)!, zeros([1], model.backend)], 0);
      return [[`${path}.values`, gatherRows(padded, from)]];
    });
    const whole = mask.whole.map((path) => [path, add(old.get(path)!, 0)] as const);
    return nest([...values, ...whole]) as Synchronous<Tree>;
  });
  const merged = copyTree(overlay(fresh, carried));
  dispose([fresh, carried]);
  return { method, params: merged };
}

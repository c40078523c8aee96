/**
 * DiffPruning's later stages: projection to a target sparsity, and training of the kept differences alone.
 * Guo, Rush and Kim 2020, arXiv 2012.07463, section 3.2.
 */
import {
  type Adapter,
  fold,
  type Key,
  key as keyOf,
  type Method,
  type MethodDefinition,
  type Model,
  nest,
  overlay,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { abs, add, gatherRows, integers, largest, multiply, reshape } from "../../ops/mod.ts";
import { gatedLeaves, gateOf, wholeLeaves } from "./diff_gates.ts";
import { storedMask } from "./masks.ts";
import { sparse, type SparseMask, type SparseOptions } from "./sparse.ts";
import { rangeError } from "../../errors/error.ts";

/** How many differences are kept. */
export interface PrunedDiffOptions {
  /** Share of the gated weights, 0.005 in the paper. */
  readonly ratio: number;
  /** z as in evaluation (default), or a sample by key. */
  readonly gates?: "mean" | Key | number;
}

/**
 * The method of the last stage: the kept differences are trained further.
 *
 * @example
 * ```ts
 * import { adapt, count, diffPruningFixed, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const indices = Int32Array.of(0, 5);
 * const mask = { leaves: [{ path: "model.norm.weight", shape: [16], indices }], whole: [] };
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(count(model, adapt(model, diffPruningFixed({ mask }))).trainable, 2);
 * ```
 */
export function diffPruningFixed({ mask }: SparseOptions): Method {
  return sparse(diffPruningFixedDefinition, mask);
}

/** `diffPruningFixed` in records. */
export const diffPruningFixedDefinition: MethodDefinition = {
  name: "diff-pruning-fixed",
  summary: "Trains the positions again that DiffPruning has found.",
  title: "DiffPruning, last stage",
  options: {},
  restore: (config, stored) => diffPruningFixed({ mask: storedMask(config, stored) }),
};

/**
 * The second stage: the largest |z ⊙ δ| of all tensors are kept, as an adapter that starts with their values.
 * The authors find the threshold by bisection on [0, 1], count values above it and zero those below, so that
 * an element equal to it is kept but not counted; here exactly ⌊ratio · N⌋ are kept. The caller owns the
 * result.
 *
 * @throws {RangeError} when the ratio is not between 0 and 1, or keeps less than one weight.
 * @example
 * ```ts
 * import {
 *   adapt, count, diffPruning, freshModel, gatedSize, prunedDiff, reference, smallConfig,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const trained = adapt(model, diffPruning()); // as it stands after the first stage
 * const kept = await prunedDiff(model, trained, { ratio: 0.01 });
 * assert.equal(count(model, kept).trainable, Math.floor(0.01 * gatedSize(model)));
 * ```
 */
export async function prunedDiff(
  model: Model,
  adapter: Adapter,
  options: PrunedDiffOptions,
): Promise<Adapter> {
  const { ratio, gates = "mean" } = options;
  const gatedHere = gatedLeaves(adapter.params);
  const all = gatedHere.reduce((n, { delta }) => n + delta.size, 0);
  const kept = keptCount(all, ratio);
  const key = gates === "mean" ? undefined : keyOf(gates);
  const diffs = scope((): Synchronous<readonly Tensor[]> =>
    gatedHere.map((leaf) => multiply(leaf.delta, gateOf(leaf, key && fold(key, leaf.path))))
  );
  const sizes = scope((): Synchronous<readonly Tensor[]> => diffs.map((d) => abs(d)));
  const indices = await largest(sizes, kept);
  for (const t of sizes) t.storage.free();
  const mask: SparseMask = {
    leaves: gatedHere.map(({ path, delta }, i) => ({ path, shape: delta.shape, indices: indices[i]! })),
    whole: wholeLeaves(adapter.params).map(([path]) => path),
  };
  const method = diffPruningFixed({ mask });
  const params = scope((): Synchronous<Tree> => {
    const started = [
      ...mask.leaves.flatMap(({ path, indices }, i) =>
        indices.length === 0 ? [] : [
          [
            `${path}.values`,
            gatherRows(reshape(diffs[i]!, [diffs[i]!.size]), integers(indices, model.backend)),
          ] as const,
        ]
      ),
      ...wholeLeaves(adapter.params).map(([path, value]) => [path, add(value, 0)] as const),
    ];
    return overlay(method.init({ model, key: 0 }), nest(started) as Tree) as Synchronous<Tree>;
  });
  for (const t of diffs) t.storage.free();
  return { ...adapter.name !== undefined && { name: adapter.name }, method, params };
}

/**
 * How many of the gated weights a ratio keeps.
 *
 * @throws {RangeError} when it is not between 0 and 1, or keeps none.
 * @example
 * ```ts
 * import { keptCount } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.equal(keptCount(1000, 0.005), 5);
 * assert.throws(() => keptCount(1000, 0.0005), RangeError); // none would stay
 * ```
 */
export function keptCount(all: number, ratio: number): number {
  const kept = Math.floor(ratio * all);
  if (!(ratio > 0 && ratio <= 1) || kept < 1) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected a ratio up to 1 that keeps at least one of ${all} weights but found ${ratio}`,
    );
  }
  return kept;
}

/**
 * Which parameters of an adapter to keep, by a score computed once at the parameters from which training
 * starts. He et al. 2022, arXiv 2210.04284, section 3.2; scores as in the authors' code
 * (`pruning/pruners.py`).
 *
 *   random       N(0, 1)
 *   magnitude    |θ|
 *   snip         |θ · g|           g = Σ over batches of the loss's gradient         (Lee et al. 2018, arXiv 1810.02340)
 *   grasp        θ · H g           H g by a central difference of gradients along g   (Wang et al. 2020, arXiv 2002.07376)
 *   synflow      |θ · ∂R/∂θ|       R the mean output of the adapters with |θ| for inputs of ones  (arXiv 2006.05467)
 *   erdosRenyi   at random, a leaf's density in proportion to (rows + columns) / (rows · columns)
 *   gradient     |g|
 *
 * Over all matrices together, the share `keep` with the highest scores is kept, except with `erdosRenyi`;
 * biases have no mask. Scores equal to the threshold are dropped, as in the authors' code, so ties reduce the
 * number kept.
 */
import {
  type Adapter,
  type Batch,
  type BatchGradients,
  keep as rooted,
  type Key,
  key as keyOf,
  leaves,
  type Model,
  nest,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { abs, addAll, concat, less, mean, ones, orderStatistic, reshape } from "../../ops/mod.ts";
import { erdosRenyi, type MaskScore, matricesOf, scoresOf } from "./mask_scores.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of `adapterMask`. */
export interface AdapterMaskOptions {
  /** The share of the matrices' parameters that is kept, in (0, 1]. (The paper's sparsity is 1 − keep.) */
  readonly keep: number;
  /** Default "snip". */
  readonly score?: MaskScore;
  /** For "snip", "grasp" and "gradient": labelled batches. */
  readonly batches?: Iterable<Batch>;
  /** The loss that those scores are of, where it is not that of the batches' labels. */
  readonly gradients?: BatchGradients;
  /** For "random" and "erdosRenyi", default 0. */
  readonly key?: Key | number;
}

/**
 * The mask of an adapter's matrices: f32 zeros and ones under their paths, to be disposed by the caller.
 * Exact order statistics exist on the reference and wasm backends.
 *
 * @throws {RangeError} when `keep` is not in (0, 1], the score needs batches and there are none, or every
 * score is zero (as SNIP's are where one of two factors is zero initially).
 * @throws {TypeError} when "synflow" is used for a method other than an adapter of hidden states.
 * @example
 * ```ts
 * import {
 *   adapt, adapterMask, dispose, freshModel, houlsby, leaves, read, reference, smallConfig,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, houlsby({ reduction: 4 }));
 * const mask = await adapterMask(model, adapter, { keep: 0.25, score: "magnitude" });
 * const values = (await Promise.all(leaves(mask).map(([, t]) => read(t)))).flatMap((part) => [...part]);
 * assert.equal(values.reduce((a, b) => a + b) / values.length, 0.25);
 * dispose(mask);
 * ```
 */
export async function adapterMask(
  model: Model,
  adapter: Adapter,
  options: AdapterMaskOptions,
): Promise<Tree> {
  const { keep, score = "snip", batches = [], key = 0, gradients } = options;
  if (!(keep > 0 && keep <= 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected keep above 0 and up to 1 but found ${keep}`);
  }
  const matrices = matricesOf(adapter.params);
  if (matrices.length === 0) {
    throw rangeError("INVALID_ARGUMENT", `Cannot mask ${adapter.method.name}: it trains no matrix`);
  }
  if (score === "erdosRenyi") return erdosRenyi(matrices, keep, keyOf(key));
  const scores = rooted(await scoresOf(model, adapter, score, [...batches], keyOf(key), gradients));
  try {
    const all = leaves(scores.tree);
    if (!await anyNonZero(all.map(([, t]) => t))) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Every ${score} score of ${adapter.method.name} is 0: start both matrices of a pair from random numbers`,
      );
    }
    return scope((): Synchronous<Tree> => {
      const flat = concat(all.map(([, t]) => reshape(t, [t.size])), 0);
      const dropped = Math.ceil((1 - keep) * flat.size);
      const threshold = dropped < 1 ? undefined : orderStatistic(flat, dropped - 1);
      return nest(
        all.map(([path, t]) =>
          [path, threshold === undefined ? ones(t.shape, t.backend) : less(threshold, t)] as const
        ),
      ) as Synchronous<Tree>;
    });
  } finally {
    scores.dispose();
  }
}

async function anyNonZero(scores: readonly Tensor[]): Promise<boolean> {
  const total = scope((): Synchronous<Tensor> => addAll(scores.map((t) => mean(abs(t)))));
  const [sum] = await read(total);
  total.storage.free();
  return sum! > 0;
}

/**
 * The diagonal of the Fisher information, from one example at a time: the squared gradient of a batch is not
 * the same.
 *
 *   empirical  F = 1/n Σ_i (∂ log p(y_i | x_i))²        expected  F = 1/n Σ_i Σ_c p(c | x_i) (∂ log p(c | x_i))²
 *
 * log p of a text is the sum over its labelled tokens. The expectation runs over all classes of one label, so
 * an example may have only one: a classifier's, or one labelled token.
 */
import type { Batch, Model } from "../trees/model.ts";
import { castWeight, dequantizedShape, isStoredTransposed } from "../trees/matrix_layout.ts";
import {
  dispose,
  keep,
  keepMade,
  leaves,
  nest,
  read,
  type Root,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../tensor/mod.ts";
import { labelCount } from "../trees/labels.ts";
import { labelledLogits } from "./loss.ts";
import { lossAndGradients } from "./loss_and_gradients.ts";
import type { BatchGradients, Method } from "../adapters/method.ts";
import { replaceLeaf } from "../edits/edit.ts";
import { weightLeaves } from "../trees/weights.ts";
import { add, multiply, softmax, square, zeros } from "../../ops/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of `fisher`. */
export interface FisherOptions {
  /**
   * Which labels to use: those of the examples ("empirical", default), or the model's distribution
   * ("expected").
   */
  readonly labels?: "empirical" | "expected";
  /** Which leaves, by path. Default: all. For a quantized leaf, that of the dequantized weight. */
  readonly parameters?: (path: string) => boolean;
  /** Stop after this many examples. Default: all. */
  readonly examples?: number | undefined;
  /**
   * Another loss than that of the labels, with its gradients. A batch is then an example: −log p is the loss of it as a whole.
   */
  readonly gradients?: BatchGradients | undefined;
}

/** Fisher information by leaf, under the model's names. */
export interface Fisher {
  /** Mean squared gradients, by the weights' paths. */
  readonly diagonal: Tree;
  /** How many examples were read. */
  readonly examples: number;
  /** Frees what it holds. */
  dispose(): void;
}

/**
 * Runs the examples of batches one at a time. No weight changes.
 *
 * @throws {RangeError} when there are no examples or leaves, a gradient is not finite, or "expected" is used
 * on an example with several labels.
 * @example
 * ```ts
 * import { freshModel, lookup, read, reference, smallConfig, type Tensor } from "@graft/peft";
 * import { fisher } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const batch = { inputIds: [[1, 2, 3], [4, 5, 6]], labels: [[1, 2, 3], [4, 5, 6]] };
 * const found = await fisher(model, [batch], { parameters: (path) => path === "model.norm.weight" });
 * assert.equal(found.examples, 2); // each row by itself
 * const squares = await read(lookup(found.diagonal, "model.norm.weight") as Tensor); // [d]
 * assert.ok(squares.every((x) => x >= 0));
 * found.dispose();
 * ```
 */
export async function fisher(
  model: Model,
  batches: Iterable<Batch> | AsyncIterable<Batch>,
  options: FisherOptions = {},
): Promise<Fisher> {
  const { parameters = () => true, examples: most = Infinity, labels = "empirical", gradients } = options;
  if (gradients !== undefined && labels === "expected") {
    throw rangeError(
      "INVALID_BATCH",
      'Cannot take the expected Fisher information of a loss of its own; use labels: "empirical"',
    );
  }
  // Divided by one label, the loss of labels is −log p.
  const gradientsOf = gradients ??
    ((model, adapter, batch) => lossAndGradients(model, adapter, batch, { labelCount: 1 }));
  const chosen = weightLeaves(model.weights).filter(([path, leaf]) =>
    parameters(path) && !["i32", "u8"].includes(leaf.dtype)
  );
  if (chosen.length === 0) {
    throw rangeError("INVALID_BATCH", "Cannot take the Fisher information: no weight is chosen");
  }
  const params = keepMade(
    scope((): Synchronous<Tree> =>
      nest(
        chosen.map(([path, leaf]) =>
          [path, castWeight(leaf, "f32", isStoredTransposed(model.spec, path))] as const
        ),
      ) as Synchronous<Tree>
    ),
    chosen.map(([, leaf]) => leaf), // which are the parameters themselves where they are f32
  );
  const sums = new Map<string, Root<Tensor>>(
    chosen.map(([path]) => [path, keep(zeros(dequantizedShape(model, path), model.backend))]),
  );
  const free = (): void => {
    for (const root of sums.values()) root.dispose();
  };
  let count = 0;
  try {
    for await (const batch of batches) {
      for (const example of gradients === undefined ? examplesOf(batch) : [batch]) {
        if (count === most) break;
        const weighted = labels === "empirical" ? [{ example, weight: 1 }] : await expected(model, example);
        for (const { example, weight } of weighted) {
          await accumulate(gradientsOf, model, params.tree, example, weight, sums);
        }
        count++;
      }
    }
    if (count === 0) {
      throw rangeError("INVALID_BATCH", "Cannot take the Fisher information: there are no examples");
    }
  } catch (error) {
    free();
    throw error;
  } finally {
    params.dispose();
  }
  for (const root of sums.values()) {
    root.replace(scope((): Synchronous<Tensor> => multiply(root.tree, 1 / count)));
  }
  const diagonal = nest([...sums].map(([path, root]) => [path, root.tree] as const)) as Tree;
  return { diagonal, examples: count, dispose: free };
}

/** θ itself as parameters. */
const WHOLE: Method = {
  name: "fisher",
  config: {},
  init: () => ({}),
  edits: (params) => leaves(params).map(([path, value]) => replaceLeaf(path, value)),
};

/** Adds weight · g² to each leaf's sum. */
async function accumulate(
  gradientsOf: BatchGradients,
  model: Model,
  params: Tree,
  example: Batch,
  weight: number,
  sums: ReadonlyMap<string, Root<Tensor>>,
): Promise<void> {
  const { value, gradients } = gradientsOf(model, { method: WHOLE, params }, example);
  const [loss] = await read(value);
  dispose(value);
  if (!Number.isFinite(loss)) {
    dispose(gradients);
    throw rangeError(
      "NOT_FINITE",
      `Cannot take the Fisher information: an example's log-likelihood is ${-loss!}`,
    );
  }
  for (const [path, gradient] of leaves(gradients)) {
    const root = sums.get(path)!;
    root.replace(scope((): Synchronous<Tensor> => add(root.tree, multiply(square(gradient), weight))));
  }
  dispose(gradients);
}

/** The example with each class in turn, weighted by its probability. */
async function expected(
  model: Model,
  example: Batch,
): Promise<readonly { readonly example: Batch; readonly weight: number }[]> {
  const kind = model.architecture.labels(model);
  const count = labelCount(example.labels ?? [], kind);
  if (kind === "scores" || kind === "flags" || count !== 1) {
    throw rangeError(
      "INVALID_BATCH",
      `Cannot take the expected Fisher information of an example with ${count} labels of kind "${kind}": it needs one ` +
        'class; use labels: "empirical"',
    );
  }
  const probabilities = scope((): Synchronous<Tensor> => softmax(labelledLogits(model, example).logits)); // [1, c]
  const weights = await read(probabilities);
  dispose(probabilities);
  const unread = kind === "next" ? 1 : 0;
  return Array.from(weights, (weight, c) => ({ example: withClass(example, c, unread), weight }));
}

/** The example with its one label replaced; the first `unread` labels of a causal model have no loss. */
function withClass(example: Batch, c: number, unread: number): Batch {
  const labels = example.labels!.map((row) =>
    typeof row === "number" ? c : row.map((id, t) => id === -100 || t < unread ? id : c)
  );
  return { ...example, labels: labels as Batch["labels"] & object };
}

/** Batches of one row each. */
function examplesOf(batch: Batch): readonly Batch[] {
  return batch.inputIds.map((_, i) => ({
    ...batch,
    ...Object.fromEntries(
      Object.entries(batch).map(([field, rows]) => [field, (rows as readonly unknown[]).slice(i, i + 1)]),
    ),
  }));
}

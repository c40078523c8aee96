/** Evaluation on held-out rows. */
import { dispose, loss, type Model, read, scope, type Synchronous, type Tensor } from "../core/mod.ts";
import { batchOf } from "./loop.ts";
import type { Rows } from "./rows.ts";
import { alone, gatherNumbers, inOrder, shareOf, type World } from "./world.ts";
import { exp } from "../elementary/exponential.ts";

/** Mean cross-entropy over labelled tokens, its exponential, and their number. */
export interface HeldOut {
  /** Mean cross-entropy over labelled tokens. */
  readonly loss: number;
  /** e to the loss. */
  readonly perplexity: number;
  /** How many tokens had a label. */
  readonly tokens: number;
}

/** Options of the evaluation. */
export interface HeldOutOptions {
  /** Rows in a pass. */
  readonly batchSize: number;
  /** The token to pad with. */
  readonly pad: number;
  /** The processes that share the batches out. Default: this one alone. */
  readonly world?: World;
  /** Awaited between batches; throwing aborts the evaluation. */
  between?(): void | Promise<void>;
}

/**
 * Evaluates a (grafted) model on every row, without dropout. Batches hold rows of similar length.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { heldOutLoss, rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama", { vocabulary: 32 }), { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3, 4], labels: [-100, -100, 3, 4] }]);
 * const { loss, tokens } = await heldOutLoss(model, rows, { batchSize: 1, pad: 0 });
 * assert.equal(tokens, 2);
 * assert.ok(Math.abs(loss - Math.log(32)) < 0.2); // fresh weights know nothing
 * ```
 */
export async function heldOutLoss(
  model: Model,
  rows: Rows,
  { batchSize, pad, between, world = alone }: HeldOutOptions,
): Promise<HeldOut> {
  await rows.sized?.();
  const order = Array.from({ length: rows.count }, (_, n) => n).sort((a, b) =>
    rows.lengths[b]! - rows.lengths[a]!
  );
  const own: number[] = [];
  for (const i of shareOf(world, Math.ceil(order.length / batchSize))) {
    const group = order.slice(i * batchSize, (i + 1) * batchSize).map((n) => [n]);
    const batch = batchOf(rows, { rows: group, targets: 0 }, {
      batching: { kind: "buckets", batchSize },
      pad,
    });
    const value = scope((): Synchronous<Tensor> => loss(model, batch, { labelCount: 1, context: "ignored" }));
    own.push((await read(value))[0]!);
    dispose(value);
    await between?.();
  }
  const sum = inOrder(await gatherNumbers(world, own)).reduce((a, b) => a + b, 0);
  const tokens = order.reduce((n, row) => n + rows.targets[row]!, 0);
  return { loss: sum / tokens, perplexity: exp(sum / tokens), tokens };
}

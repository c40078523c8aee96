/** Pairs as rows and batches. */
import assert from "node:assert/strict";
import { adapt, freshModel, lora, reference, smallConfig } from "../../../mod.ts";
import type { ExampleTokenizer } from "../../../train/example_tokenizer.ts";
import { dpo, objectiveGradients, pickRows, startTraining } from "../../../train/mod.ts";
import { preferenceRows } from "../../../train/objectives/preference_rows.ts";

const digits: ExampleTokenizer = { encode: (text) => [...text].map(Number), chat: () => "", eos: 9 };
const pair = (prompt: string, chosen: string, rejected: string, margin?: number) => ({
  chosen: { prompt, answer: chosen },
  rejected: { prompt, answer: rejected },
  ...margin !== undefined && { margin },
});

Deno.test("a batch has the chosen answers first, then the rejected ones, padded alike", () => {
  const rows = preferenceRows([pair("1", "2", "345", 0.5), pair("67", "8", "4")], digits, {
    maxLength: 9,
    longPrompt: "refuse",
  });
  assert.deepEqual([Array.from(rows.lengths), Array.from(rows.targets)], [[5, 4], [1, 1]]);
  assert.deepEqual(rows.batch([1, 0], 0), {
    inputIds: [[6, 7, 8, 9, 0], [1, 2, 9, 0, 0], [6, 7, 4, 9, 0], [1, 3, 4, 5, 9]],
    attentionMask: [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]],
    labels: [[-100, -100, 8, 9, -100], [-100, 2, 9, -100, -100], [-100, -100, 4, 9, -100], [
      -100,
      3,
      4,
      5,
      9,
    ]],
    margins: [0, 0.5],
  });
});

Deno.test("of too long a prompt both answers see the same part", () => {
  const one = pair("123456", "7", "888");
  const rows = (keep: "head" | "tail") =>
    preferenceRows([one], digits, { maxLength: 7, longPrompt: { keep } }).batch([0], 0).inputIds;
  assert.deepEqual(rows("tail"), [[4, 5, 6, 7, 9, 0, 0], [4, 5, 6, 8, 8, 8, 9]]);
  assert.deepEqual(rows("head"), [[1, 2, 3, 7, 9, 0, 0], [1, 2, 3, 8, 8, 8, 9]]);
});

Deno.test("a chunk of a step counts the tokens of both answers", async () => {
  const rows = preferenceRows([pair("1", "23", "34"), pair("5", "67", "78")], digits, {
    maxLength: 9,
    longPrompt: "refuse",
  });
  const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
  const gradients = objectiveGradients(dpo());
  const told = async (chunkTokens: number): Promise<readonly number[]> => {
    const texts: number[] = [];
    const run = await startTraining(model, adapt(model, lora({ rank: 2 })), pickRows(rows, [0, 1]), {
      learningRate: 0.01,
      batching: { kind: "buckets", batchSize: 2 },
      pad: 0,
      chunkTokens,
      gradients: (base, adapter, batch, options) => {
        texts.push(batch.inputIds.length);
        return gradients(base, adapter, batch, options);
      },
    });
    await run.next();
    run.dispose();
    return texts;
  };
  // Each of the four texts has four tokens.
  assert.deepEqual(await told(8), [2, 2]);
  assert.deepEqual(await told(15), [2, 2]);
  assert.deepEqual(await told(16), [4]);
});

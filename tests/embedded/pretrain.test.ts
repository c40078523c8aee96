/** The pretraining's schedule and rows, and that it makes the same numbers again. */
import assert from "node:assert/strict";
import { leaves, read, reference } from "../../mod.ts";
import { trainBpe } from "../../embedded/bpe.ts";
import { trainingText } from "../../embedded/curriculum.ts";
import { CONFIG, pretrained, trapezoid } from "../../embedded/pretrain.ts";
import { pretrainingRows } from "../../embedded/rows.ts";
import { SPECIAL, TOKENIZER_CONFIG } from "../../embedded/tokenizer.ts";
import { tokenizer as make } from "../../formats/tokenizer.ts";
import { key } from "../../tensor/key.ts";

const texts = Array.from({ length: 40 }, (_, i) => trainingText(key(2026), i));
const tokenizer = make({
  tokenizer: trainBpe(texts, { vocabulary: 320, special: SPECIAL, digits: "single" }),
  config: TOKENIZER_CONFIG,
});

Deno.test("trapezoid() rises, stays, and falls in the last fifth, whose start alone depends on the steps", () => {
  assert.deepEqual([0, 149, 299, 700, 799].map(trapezoid(1000)), [1 / 300, 0.5, 1, 1, 1]);
  assert.deepEqual([800, 900, 999].map(trapezoid(1000)), [1, 0.5, 0.005]);
  assert.deepEqual([500, 1500].map(trapezoid(2000)), [1, 1]);
});

Deno.test("pretrainingRows() cuts long texts, and predicts every token or the answers alone", () => {
  const of = { key: key(1), from: 0, to: 40, length: 200, repeated: 0 };
  const [all, answers] = [0, 1].map((answersAlone) => pretrainingRows(tokenizer, { ...of, answersAlone }));
  for (let n = 0; n < 40; n++) {
    const { inputIds, labels } = all!.tokens(n);
    assert.equal(inputIds.length, all!.lengths[n]);
    assert.ok(inputIds.length <= 200);
    assert.deepEqual(labels, inputIds);
    const masked = answers!.tokens(n);
    assert.deepEqual(masked.inputIds, inputIds);
    const [user, assistant] = [1, 2];
    const speaker = (i: number): number | undefined =>
      inputIds.slice(0, i).findLast((id) => id === user || id === assistant);
    if (!inputIds.includes(assistant)) continue;
    masked.labels.forEach((label, i) => assert.equal(label, speaker(i) === assistant ? inputIds[i] : -100));
  }
});

Deno.test("pretrained() makes the same numbers again, in half precision", async () => {
  const config = { ...CONFIG, vocab_size: 320, num_hidden_layers: 2, hidden_size: 24, intermediate_size: 8 };
  const run = async (): Promise<readonly (readonly number[])[]> => {
    const notes: string[] = [];
    const model = await pretrained({
      config,
      tokenizer,
      backend: reference(),
      steps: 1,
      rows: 4,
      probed: 1,
      note: (line) => notes.push(line),
    });
    assert.match(notes.at(-1)!, /^step 1\/1 .* held out answers \d\.\d+ {2}copies \d\.\d+$/);
    const weights = leaves(model.weights as never) as readonly (readonly [string, never])[];
    return await Promise.all(weights.map(async ([, leaf]) => [...await read(leaf)]));
  };
  assert.deepEqual(await run(), await run());
});

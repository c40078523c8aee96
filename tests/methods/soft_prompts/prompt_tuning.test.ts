/** promptTuning(): the laws of methods, golden cases, counts that papers print and what is refused. */
import assert from "node:assert/strict";
import {
  type Cache,
  compose,
  forward,
  graft,
  keep,
  type Method,
  type Model,
  read,
  scope,
  type Tensor,
  tensor,
  type Tree,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { type PromptPosition, type PromptStart, promptTuning, withSlots } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { GOLDEN } from "../../support/golden.ts";
import { added, just, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { peftPrompt, SLOT, slotted } from "../../support/prompts.ts";
import { countsOf, printedShares, publishedCount, trainableOf } from "../../support/published_counts.ts";
import { bertOf, T5_BASE, t5Of } from "../../support/published_shapes.ts";
import { tinyGemma, tinyGpt2, tinyLlama, tinyQwen3, tinyT5 } from "../../support/tiny_models.ts";

methodLaws("promptTuning()", {
  method: just(promptTuning({ length: 3 }) as Method),
  atInit: "other",
  merges: "no",
  counts: () => added(3 * WIDTH), // l d
});

methodLaws("promptTuning() from labels, at slots", {
  method: just(
    promptTuning({
      length: 3,
      where: { token: SLOT },
      start: { from: "tokens", rows: [[1, 2], [3]] },
    }) as Method,
  ),
  atInit: "other",
  merges: "no",
  counts: () => added(3 * WIDTH),
  batch: slotted,
  looksAhead: true, // slots belong to the first pass
});

const PROMPT_STARTS: PromptStart = { from: "tokens", rows: [[4], [7]] };

/** A tiny model's logits under a prompt that starts from tokens 4 and 7, or bare; the first `n` tokens apart, cached. */
async function promptedLogits(
  model: Model,
  inputIds: readonly number[],
  { where, cached = 0, decoded }: {
    readonly where?: PromptPosition;
    readonly cached?: number;
    readonly decoded?: readonly number[];
  } = {},
): Promise<readonly number[]> {
  const method = promptTuning({ length: 2, start: PROMPT_STARTS, ...where && { where } });
  const params = keep(method.init({ model, key: 0 }));
  const tuned = where === undefined ? model : graft(model, { method, params: params.tree });
  const more = decoded && { decoderInputIds: [decoded] };
  const parts: Tensor[] = [];
  let cache: Cache | undefined;
  for (const ids of cached === 0 ? [inputIds] : [inputIds.slice(0, cached), inputIds.slice(cached)]) {
    const pass = scope(() =>
      forward(tuned, { inputIds: [ids], ...more }, { keepCache: cached > 0, ...cache && { cache } })
    );
    parts.push(pass.logits);
    cache = pass.cache;
  }
  const numbers = await Promise.all(parts.map(read));
  params.dispose();
  return numbers.flatMap((part) => [...part]);
}

Deno.test("a prompt that enters the blocks is one before the text where positions are rotary or relative", async () => {
  for (const [make, decoded] of [[tinyLlama], [tinyQwen3], [tinyGemma], [tinyT5, [1, 2]]] as const) {
    const model = make(reference(), 3);
    const more = decoded === undefined ? {} : { decoded };
    const front = await promptedLogits(model, [1, 2, 3], { where: "front", ...more });
    assertClose(
      await promptedLogits(model, [1, 2, 3], { where: "entered", ...more }),
      front,
      1e-5,
      make.name,
    );
    if (make !== tinyLlama && make !== tinyQwen3) continue; // Gemma's embeddings are larger than its table's rows
    // Rows behind the first token stand for tokens there.
    const whole = await promptedLogits(model, [1, 4, 7, 2, 3]);
    const v = whole.length / 5;
    const wanted = [...whole.slice(0, v), ...whole.slice(3 * v)];
    assertClose(await promptedLogits(model, [1, 2, 3], { where: "afterFirst" }), wanted, 1e-5, make.name);
  }
});

Deno.test("a text under a prompt at any place is the same whole and from a cache", async () => {
  for (const make of [tinyLlama, tinyGemma, tinyGpt2]) {
    for (const where of ["front", "entered", "afterFirst"] as const) {
      const model = make(reference(), 3);
      const whole = await promptedLogits(model, [1, 2, 3, 5], { where });
      const cached = await promptedLogits(model, [1, 2, 3, 5], { where, cached: 2 });
      assertClose(cached, whole, 1e-5, `${make.name} ${where}`);
    }
  }
});

Deno.test("a row at a slot stands for a token: rows equal to embeddings change nothing", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 3);
    const start: PromptStart = { from: "tokens", rows: [[4], [7]] };
    const method = promptTuning({ length: 2, where: { token: SLOT }, start });
    const params = keep(method.init({ model, key: 0 }));
    const logits = async (model: Model, ids: readonly number[]) => {
      const out = forward(model, { inputIds: [ids] }).logits;
      const numbers = await read(out);
      out.storage.free();
      return numbers;
    };
    assert.deepEqual(
      await logits(graft(model, { method, params: params.tree }), withSlots([[1], 1, [2, 3], 1], SLOT)),
      await logits(model, [1, 4, 2, 3, 7]),
    );
    params.dispose();
    model.dispose();
  }));

Deno.test("slots stand in the texts of BERT and of T5's encoder too", async () => {
  for (const base of ["bert_tags", "t5"]) {
    await assertNoLeak(async () => {
      const model = await loadModel(`${GOLDEN}encoders/${base}`, { backend: reference() });
      const start: PromptStart = { from: "tokens", rows: [[4], [7]] };
      const method = promptTuning({ length: 2, where: { token: 36 }, start });
      const params = keep(method.init({ model, key: 0 }));
      const logits = async (model: Model, ids: readonly number[]) => {
        const t5 = base === "t5" && { decoderInputIds: [[0, 5, 6], [0, 5, 6]] };
        const batch = {
          inputIds: [[...ids, 0], [...ids, 9]],
          attentionMask: [[...ids.map(() => 1), 0], [...ids.map(() => 1), 1]],
        };
        const out = forward(model, { ...batch, ...t5 }).logits;
        const numbers = await read(out);
        out.storage.free();
        return numbers;
      };
      assert.deepEqual(
        await logits(graft(model, { method, params: params.tree }), withSlots([[1], 1, [2, 3], 1], 36)),
        await logits(model, [1, 4, 2, 3, 7]),
      );
      params.dispose();
      model.dispose();
    });
  }
});

Deno.test("promptTuning() starts from a range, from the vocabulary, from labels or from a text", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 3);
    const table = await read(
      (model.weights as unknown as Tree & { model: { embed_tokens: { weight: Tensor } } }).model.embed_tokens
        .weight,
    );
    const row = (id: number): readonly number[] => [...table.subarray(id * WIDTH, (id + 1) * WIDTH)];
    const started = async (start: PromptStart, length = 6): Promise<readonly (readonly number[])[]> => {
      const params = promptTuning({ length, start }).init({ model, key: 5 });
      const numbers = await read(params.rows);
      params.rows.storage.free();
      return Array.from({ length }, (_, i) => [...numbers.subarray(i * WIDTH, (i + 1) * WIDTH)]);
    };
    const known = Array.from({ length: 11 }, (_, id) => row(id).join());
    const uniform = (await started({ from: "uniform", low: 0, high: 0.5 }, 40)).flat();
    assert.ok(uniform.every((x) => x >= 0 && x < 0.5) && Math.max(...uniform) > 0.45);
    const wide = (await started({ from: "uniform" }, 40)).flat();
    assert.ok(wide.every((x) => x >= -0.5 && x < 0.5) && Math.min(...wide) < -0.45);
    const drawn = await started({ from: "vocabulary", tokens: 4 }, 30);
    assert.deepEqual(new Set(drawn.map((r) => known.indexOf(r.join()))), new Set([0, 1, 2, 3]));
    const labels = await started({ from: "tokens", rows: [[1, 2], [9]] });
    assertClose(labels[0]!, row(1).map((x, i) => (x + row(2)[i]!) / 2), 1e-6);
    assert.deepEqual(labels[1], row(9));
    assert.ok(labels.slice(2).every((r) => known.includes(r.join())));
    const text = await started({ from: "tokens", rows: [[3], [1], [4]], rest: "repeated" }, 5);
    assert.deepEqual(text, [3, 1, 4, 3, 1].map(row));
    await assert.rejects(
      started({ from: "tokens", rows: [[11]] }),
      /token ids from 0 to 10 but a prompt starts from 11/,
    );
    model.dispose();
  }));

Deno.test("prompts refuse missing slots, a full context and gates", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 3);
    const params = keep({
      rows: tensor(new Float32Array(3 * WIDTH), { backend: model.backend, shape: [3, WIDTH] }),
    });
    const run = (method: Method, inputIds: readonly (readonly number[])[]) =>
      forward(graft(model, { method, params: params.tree }), { inputIds });
    const slots = promptTuning({ length: 3, where: { token: SLOT } }) as Method;
    assert.throws(
      () => run(slots, [[SLOT, SLOT, SLOT, 1], [SLOT, 1, 2, 3]]),
      /Expected 3 slots .* in row 1 but found 1/,
    );
    const twice = (compose({ a: slots, b: slots }) as unknown as Method).edits(
      { a: params.tree, b: params.tree } as Tree,
      model.spec,
    );
    const both: Method = { ...slots, edits: () => twice };
    assert.throws(() => run(both, [[SLOT, SLOT, SLOT, 1]]), /Two prompts .* token 10/);
    const front = promptTuning({ length: 3 }) as Method;
    assert.throws(
      () => run(front, [new Array(30).fill(1)]),
      /33 tokens but the model's context holds 32: shorten it, or what stands before it at "model", which takes 3 of them/,
    );
    assert.throws(() => promptTuning({ length: 0 }), /length/);
    assert.throws(() => promptTuning({ start: { from: "tokens", rows: [[]] } }), /at least one id/);
    params.dispose();
    model.dispose();
  }));

peftPrompt("prompt", promptTuning({ length: 5 }) as Method);
publishedCount(
  "promptTuning() has 76,800 numbers on T5-base, 409,600 on T5-XXL and 6,912 at length 9 on BERT-base",
  () => {
    const prompt = countsOf(T5_BASE, promptTuning({ length: 100 }) as Method).trained;
    assert.equal(prompt.trainable, 76_800);
    assert.equal(Math.round(prompt.trainable / prompt.base * 1e5), 34); // 0.034 %
    assert.equal(
      trainableOf(t5Of(4096, 24, 64, 10_240, "1.1"), promptTuning({ length: 100 }) as unknown as Method),
      409_600,
    );
    // What P-tuning leaves.
    assert.equal(trainableOf(bertOf(768, 12, 28_996), promptTuning({ length: 9 }) as Method), 6_912);
  },
);
printedShares("promptTuning()", [["prompts, T5-base l 100", 76_800, "T5-base", "0.034"]]);

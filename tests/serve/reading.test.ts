/** Prompts that are read in chunks give the scores that one pass gives: the same bits on backends that serve, under every method. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Backend, dispose, freshModel, graft, type Model, quantize, smallConfig } from "../../mod.ts";
import { native, whyNotNative } from "../../ops/native/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { wasm } from "../../ops/wasm/mod.ts";
import { engine } from "../../serve/engine.ts";
import { pieceEnds, reading, readsInPieces } from "../../serve/reading.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { CREATED, created } from "../support/method_options.ts";
import { trained } from "../support/subject.ts";
import { tinyGpt2, tinyLlama, tinyT5 } from "../support/tiny_models.ts";

/** The scores after a prompt that is read in chunks. */
async function scoresOf(model: Model, prompt: readonly number[], ends: readonly number[]) {
  const running = reading(model, prompt, ends);
  for (let left = ends.length - 1; left > 0; left--) assert.equal(await running.step(), undefined);
  const { scores, cached } = (await running.step())!;
  assert.equal(cached.cache.length, cached.used[0]);
  dispose(cached.cache);
  return scores;
}

Deno.test("chunks cover a prompt, and none of several has few tokens", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 5000 }), (n) => {
    const ends = pieceEnds(n);
    const sizes = ends.map((end, i) => end - (ends[i - 1] ?? 0));
    assert.equal(ends.at(-1), n);
    assert.ok(sizes.every((size) => size < 80));
    if (n >= 80) assert.ok(sizes.length > 1 && sizes.every((size) => size >= 16));
    assert.ok(sizes.slice(0, -1).every((size) => size === 64));
  }));
});

for (const [family, tiny] of Object.entries({ llama: tinyLlama, gpt2: tinyGpt2 })) {
  Deno.test(`every method that reads in chunks has the scores of one pass, on ${family}`, () =>
    assertNoLeak(async () => {
      const model = tiny(reference(), 3);
      const prompt = Array.from({ length: 11 }, (_, i) => (i * 7 + 3) % 10);
      const whole: string[] = [];
      for (const definition of CREATED) {
        let made: ReturnType<typeof trained>;
        try {
          made = trained(model, { it: created(definition, model.spec) });
        } catch {
          continue; // it needs a model of another kind, which its own test says
        }
        const adapter = made.adapters["it"]!;
        if (readsInPieces(model, adapter)) {
          const tuned = graft(model, adapter);
          const [one, three] = [
            await scoresOf(tuned, prompt, [11]),
            await scoresOf(tuned, prompt, [4, 5, 11]),
          ];
          assertClose(three, one, 1e-5, definition.name);
        } else whole.push(definition.name);
        made.dispose();
      }
      for (const name of ["lora", "dora", "ia3", "pfeiffer", "prefix-tuning", "full"]) {
        assert.ok(!whole.includes(name), `${name} is read in chunks`);
      }
      for (const name of ["loreft", "prompt-tuning"]) assert.ok(whole.includes(name), name);
      model.dispose();
    }));
}

Deno.test("an encoder-decoder model reads its prompt as a whole", () => {
  const model = tinyT5(reference(), 0);
  assert.equal(readsInPieces(model), false);
  model.dispose();
});

const BACKENDS: Readonly<Record<string, () => Promise<Backend>>> = {
  "wasm on one thread": () => wasm({ threads: 1 }),
  "wasm on two threads": () => wasm({ threads: 2 }),
  ...await whyNotNative() === undefined && { "native": () => Promise.resolve(native({ threads: 2 })) },
};
for (const [name, open] of Object.entries(BACKENDS)) {
  Deno.test(`chunks and one pass have the same bits on ${name}, for every type of weights`, async () => {
    const backend = await open();
    const sizes = { hidden_size: 96, intermediate_size: 192, num_attention_heads: 6, num_key_value_heads: 3 };
    const config = { ...smallConfig("llama", { vocabulary: 101 }), ...sizes, max_position_embeddings: 400 };
    const plain = freshModel(config, { backend, key: 5 });
    for (const form of ["f32", "bf16", "q8_0", "nf4", "q4_1"] as const) {
      const model = form === "f32" ? plain : quantize(plain, { dtype: form });
      for (const n of [80, 143, 205, 331]) {
        const prompt = Array.from({ length: n }, (_, i) => (i * 37 + 5) % 101);
        const [one, chunks] = [
          await scoresOf(model, prompt, [n]),
          await scoresOf(model, prompt, pieceEnds(n)),
        ];
        assert.ok(pieceEnds(n).length > 1);
        assert.deepEqual(chunks, one, `${form}, ${n} tokens`);
      }
      if (model !== plain) model.dispose();
    }
    plain.dispose();
    backend.close();
  });
}

Deno.test("a short text is written while a long prompt is read, and a cancelled prompt is not read on", () =>
  assertNoLeak(async () => {
    const tokenizer = { encode: () => [1], decode: (ids: readonly number[]) => ids.join(" ") };
    const config = { ...smallConfig("llama"), max_position_embeddings: 2048 };
    const model = freshModel(config, { backend: reference(), key: 0, tokenizer });
    const running = engine(model, { adapters: {}, rows: 3, queue: 3 });
    const order: string[] = [];
    const job = (n: number, maxTokens: number) => ({
      ...{ prompt: Array.from({ length: n }, (_, i) => i % 30), adapter: null, maxTokens, seed: 0, stop: [] },
    });
    const long = running.submit(job(900, 1));
    const lost = running.submit(job(1900, 1));
    const short = running.submit(job(3, 5));
    void long.written.then(() => order.push("long"));
    void short.written.then(() => order.push("short"));
    setTimeout(() => lost.cancel(), 20);
    await assert.rejects(lost.written);
    await Promise.all([long.written, short.written]);
    assert.deepEqual(order, ["short", "long"]);
    assert.deepEqual(running.load, { waiting: 0, writing: 0 });
    await running.close();
    model.dispose();
  }));

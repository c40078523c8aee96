/** Greedy ids equal transformers' generate (tests/oracles/models.py); endings, streaming and drawing keep their promises. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  generate,
  type GeneratedToken,
  generateIds,
  type Model,
  tensor,
  type TextCodec,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { ALL_BACKENDS, type BackendName, withBackend } from "../../support/backends.ts";
import { GOLDEN } from "../../support/golden.ts";

interface Golden {
  readonly prompts: readonly (readonly number[])[];
  readonly ids: readonly (readonly number[])[];
  readonly eos: number;
  readonly ended: readonly (readonly number[])[];
  readonly context: number;
  readonly filled: readonly number[];
}

const golden = (name: string): Golden =>
  JSON.parse(Deno.readTextFileSync(`${GOLDEN}models/${name}/generate.json`));

/** Id 0 is special; the ids 1, 2, 3 are the bytes of "€"; 4 is "<", 5 "|", 6 "end>"; others are " " and a letter. */
const codec: TextCodec = {
  encode: (text) => {
    const ids: number[] = [];
    for (let rest = text; rest !== "";) {
      const id = pieces.findIndex((piece) => piece !== "" && rest.startsWith(piece));
      ids.push(id < 0 ? 42 : id); // what it cannot express
      rest = rest.slice(id < 0 ? 1 : pieces[id]!.length);
    }
    return ids;
  },
  decode: (ids, { skipSpecialTokens = false } = {}) => {
    const bytes = ids.flatMap((id) => {
      if (id >= 1 && id <= 3) return [[0xE2, 0x82, 0xAC][id - 1]!];
      return id === 0 && skipSpecialTokens ? [] : [...new TextEncoder().encode(pieces[id])];
    });
    return new TextDecoder().decode(Uint8Array.from(bytes));
  },
};
const pieces: readonly string[] = [
  "<eot>",
  "",
  "",
  "",
  "<",
  "|",
  "end>",
  ...Array.from({ length: 36 }, (_, i) => ` ${String.fromCharCode(i < 26 ? 97 + i : 65 + i - 26)}`),
];

function withModel(
  backendName: BackendName,
  name: string,
  f: (model: Model) => Promise<void>,
): Promise<void> {
  return withBackend(backendName, (backend) =>
    assertNoLeak(async () => {
      const model = await loadModel(`${GOLDEN}models/${name}`, { backend });
      try {
        await f(model);
      } finally {
        model.dispose();
      }
    }));
}

for (const backendName of ALL_BACKENDS) {
  for (const name of ["gpt2", "llama", "qwen3", "smollm3", "gemma", "gemma3"]) {
    Deno.test(`generateIds() is transformers' greedy generate on ${name} (${backendName})`, () =>
      withModel(backendName, name, async (model) => {
        const { prompts, ids, eos, ended, context, filled } = golden(name);
        for (const [i, prompt] of prompts.entries()) {
          assert.deepEqual(await generateIds(model, prompt, { maxNewTokens: 12 }), ids[i]);
        }
        assert.deepEqual(await generateIds(model, prompts, { maxNewTokens: 12 }), ids);
        assert.deepEqual(await generateIds(model, prompts, { maxNewTokens: 12, eos }), ended);
        const config = { ...model.config, eos_token_id: [eos, 1e6] };
        assert.deepEqual(await generateIds({ ...model, config }, prompts, { maxNewTokens: 12 }), ended);
        // One token more than the context holds: the last is not read again.
        const all = await generateIds(model, prompts[0]!, { maxNewTokens: 1000 });
        assert.equal(all.length, context - prompts[0]!.length + 1);
        assert.deepEqual(all.slice(0, -1), filled);
      }));
  }
}

for (const name of ["gpt2", "llama"]) {
  Deno.test(`generateIds() gives each row of a batch its own room up to the context on ${name}`, () =>
    withModel("wasm", name, async (model) => {
      const { context } = golden(name);
      const row = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: context });
      const cap = fc.constantFrom(3, 1000);
      await fc.assert(
        fc.asyncProperty(
          fc.array(row, { minLength: 2, maxLength: 4 }),
          cap,
          async (prompts, maxNewTokens) => {
            const options = { maxNewTokens, eos: [] };
            const alone: number[][] = [];
            for (const prompt of prompts) alone.push(await generateIds(model, prompt, options));
            assert.deepEqual(await generateIds(model, prompts, options), alone);
            assert.deepEqual(
              alone.map((ids) => ids.length),
              prompts.map(({ length }) => Math.min(maxNewTokens, context - length + 1)),
            );
          },
        ),
        { numRuns: 6, examples: [[[[1], Array<number>(context).fill(2)], 1000]] },
      );
    }));
}

Deno.test("generateIds() hears of every token once, row by row", () =>
  withModel("reference", "gpt2", async (model) => {
    const { prompts, ended, eos } = golden("gpt2");
    const heard: GeneratedToken[] = [];
    await generateIds(model, prompts, { maxNewTokens: 12, eos, onToken: (token) => heard.push(token) });
    const rows = prompts.map((_, row) => heard.filter((token) => token.row === row).map(({ id }) => id));
    assert.deepEqual(rows, ended);
  }));

Deno.test("generateIds() draws as a function of the key, and greedily when only the best may be drawn", () =>
  withModel("reference", "llama", async (model) => {
    const { prompts, ids } = golden("llama");
    const drawn = (key: number) =>
      generateIds(model, prompts, {
        maxNewTokens: 12,
        sampler: { temperature: 2, topK: 20, topP: 0.9 },
        key,
      });
    assert.deepEqual(await drawn(1), await drawn(1));
    assert.notDeepEqual(await drawn(1), await drawn(2));
    const [first, second] = await generateIds(model, [[1, 2], [1, 2]], { maxNewTokens: 12, sampler: {} });
    assert.notDeepEqual(first, second, "rows share their draws");
    assert.deepEqual(await generateIds(model, prompts, { maxNewTokens: 12, sampler: { topK: 1 } }), ids);
  }));

Deno.test("generateIds() leaves nothing behind when a listener throws", () =>
  withModel("reference", "gpt2", async (model) => {
    let heard = 0;
    const onToken = (): void => {
      if (++heard === 3) throw new Error("enough");
    };
    await assert.rejects(generateIds(model, [1, 2], { maxNewTokens: 9, onToken }), /enough/);
  }));

Deno.test("generateIds() refuses options and prompts out of range", () =>
  withModel("reference", "gpt2", async (model) => {
    const run = (prompt: readonly number[], options: object) =>
      generateIds(model, prompt, { maxNewTokens: 1, ...options });
    await assert.rejects(run([1], { maxNewTokens: -1 }), /maxNewTokens .* found -1/);
    await assert.rejects(run([1], { maxNewTokens: 1.5 }), /maxNewTokens .* found 1.5/);
    await assert.rejects(
      run([1], { sampler: { temperature: 0 } }),
      /temperature .* found 0.*give no sampler/,
    );
    await assert.rejects(run([1], { sampler: { topK: 0 } }), /topK .* found 0/);
    await assert.rejects(run([1], { sampler: { topP: 1.1 } }), /topP .* found 1.1/);
    await assert.rejects(run([], {}), /at least one token in prompt 0/);
    await assert.rejects(run([43], {}), /token ids from 0 to 42/);
    await assert.rejects(run(Array(33).fill(1), {}), /context holds 32/);
    assert.deepEqual(await run([1], { maxNewTokens: 0 }), []);
  }));

Deno.test("generate() gives the text of transformers' ids, without prompt and end of text", () =>
  withModel("reference", "gpt2", async (bare) => {
    const model = { ...bare, tokenizer: codec };
    const { prompts, ids, eos, ended } = golden("gpt2");
    const text = (row: readonly number[]) => codec.decode(row);
    assert.equal(await generate(model, prompts[2]!, { maxNewTokens: 12 }), text(ids[2]!));
    assert.deepEqual(await generate(model, prompts, { maxNewTokens: 12 }), ids.map(text));
    const cut = ended[0]!.slice(0, -1);
    assert.equal(await generate(model, prompts[0]!, { maxNewTokens: 12, eos }), text(cut));
    const tokenizer = { ...codec, eos };
    assert.equal(await generate({ ...model, tokenizer }, prompts[0]!, { maxNewTokens: 12 }), text(cut));
    // A text is encoded by the model's tokenizer.
    const words = codec.decode([21, 33, 14]);
    const expected = await generateIds(model, [21, 33, 14], { maxNewTokens: 5 });
    assert.equal(await generate(model, words, { maxNewTokens: 5 }), text(expected));
    assert.deepEqual(await generate(model, [words], { maxNewTokens: 5 }), [text(expected)]);
  }));

Deno.test("generate() keeps the first space that some decoders drop from a text", () =>
  withModel("reference", "gpt2", async (bare) => {
    const decode: TextCodec["decode"] = (ids, options) => codec.decode(ids, options).replace(/^ /, "");
    const model = { ...bare, tokenizer: { ...codec, decode } };
    const { prompts, ids } = golden("gpt2");
    assert.deepEqual(
      await generate(model, prompts, { maxNewTokens: 12 }),
      ids.map((row) => codec.decode(row)),
    );
  }));

Deno.test("generate() cuts before the first stop string, also one across tokens", () =>
  withModel("reference", "gpt2", async (bare) => {
    const model = { ...bare, tokenizer: codec };
    const { prompts, ids } = golden("gpt2");
    const full = codec.decode(ids[0]!);
    const options = { maxNewTokens: 12 };
    for (let from = 0; from < full.length; from++) {
      for (const length of [1, 2, 3, 5]) {
        const stop = [full.slice(from, from + length), "never"];
        const seen: GeneratedToken[] = [];
        const text = await generate(model, prompts[0]!, { ...options, stop, onToken: (t) => seen.push(t) });
        assert.equal(text, full.slice(0, full.indexOf(stop[0]!)));
        assert.equal(seen.map((t) => t.text).join(""), text);
      }
    }
    await assert.rejects(generate(model, prompts[0]!, { ...options, stop: [""] }), /stop strings/);
  }));

/** A model whose next token is a function of the last. */
function scripted(model: Model, follow: (id: number) => number): Model {
  const oneHot = (hot: number): readonly number[] => Array.from({ length: 43 }, (_, v) => v === hot ? 1 : 0);
  const step: Model["architecture"]["states"] = (m, batch) => ({
    // One-hot rows of the token that follows, as states and logits at once.
    states: tensor(batch.inputIds.map((row) => row.map((id) => oneHot(follow(id)))), { backend: m.backend }),
    cache: { length: 1, entries: {}, mask: undefined },
  });
  return {
    ...model,
    tokenizer: codec,
    architecture: { name: "scripted", states: step, head: (_, x) => x, labels: () => "next" },
  };
}

Deno.test("generate() streams whole characters, and pieces that join to the text", () =>
  withModel("reference", "gpt2", async (bare) => {
    const next = new Map([[10, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6], [6, 11]]);
    const model = scripted(bare, (id) => next.get(id) ?? 0);
    const pieces: string[] = [];
    const onToken = (token: GeneratedToken): void => void pieces.push(token.text);
    const text = await generate(model, [10], { maxNewTokens: 9, eos: 0, stop: ["<|stop>"], onToken });
    assert.equal(text, "€<|end> e");
    assert.deepEqual(pieces, ["", "", "€", "", "", "<|end>", " e", ""]);
    // A text that ends within a character says so.
    assert.equal(await generate(model, [10], { maxNewTokens: 2 }), "\uFFFD");
    // A special token as stop string stops by its id.
    const skipping = { ...codec, encode: (s: string) => s === "<eot>" ? [0] : codec.encode(s) };
    const stop = ["<eot>"];
    assert.equal(
      await generate({ ...model, tokenizer: skipping }, [10], { maxNewTokens: 20, stop }),
      "€<|end> e",
    );
  }));

Deno.test("generate() joins streamed pieces to the text for any stop strings", () =>
  withModel("reference", "gpt2", async (bare) => {
    const stops = fc.array(fc.constantFrom("€<", "<|", "|end", " e", "d>", "€", "x", "|x", "> e"), {
      maxLength: 3,
    });
    const script = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(script, stops, async (script, stop) => {
        // Each step's token comes from the script, by counting the tokens asked for.
        let at = 0;
        const model = scripted(bare, () => script[at++] ?? 0);
        let streamed = "";
        const onToken = ({ text }: GeneratedToken): void => void (streamed += text);
        const text = await generate(model, [10], { maxNewTokens: script.length, stop, onToken });
        const whole = codec.decode(script);
        const cut = Math.min(...stop.map((s) => whole.indexOf(s)).filter((i) => i >= 0), whole.length);
        assert.equal(text, whole.slice(0, cut));
        assert.equal(streamed, text);
      }),
      { numRuns: 100 },
    );
  }));

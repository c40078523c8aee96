/**
 * A GGUF file's tokenizer behaves by default as the file says, wherever it is asked: loaded with the model or alone, carried
 * into a folder, and for chats. llama.cpp's reading is the oracle: the flags of the file, or its defaults where there are none.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Backend } from "../../core/mod.ts";
import { openGguf } from "../../formats/gguf.ts";
import type { GgufValue } from "../../formats/gguf_metadata.ts";
import { ggufTokenizer } from "../../formats/gguf_tokenizer.ts";
import { writeGguf } from "../../formats/gguf_write.ts";
import { loadModel, loadTokenizerOf } from "../../io/load_model.ts";
import { saveModel } from "../../io/save_model.ts";
import { freshModel } from "../../models/fresh.ts";
import { temporaryFolder } from "../cli/tiny.ts";
import { withBackend } from "../support/backends.ts";

interface Golden {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly texts?: readonly string[];
  readonly plain: readonly (readonly number[])[];
  readonly special: readonly (readonly number[])[];
}

const read = (name: string) =>
  JSON.parse(
    readFileSync(new URL(`../oracles/golden/tokenizer_goldens/${name}.json`, import.meta.url), "utf8"),
  );
const goldenOf = (name: string): Golden => read(`gguf_${name}`);
const textsOf = (golden: Golden): readonly string[] => golden.texts ?? read("texts");

/** A field as a GGUF file holds it. */
function fieldOf(key: string, value: unknown): GgufValue {
  if (typeof value === "boolean") return { type: "bool", value };
  if (typeof value === "string") return { type: "string", value };
  if (typeof value === "number") return { type: "u32", value };
  const of = key.endsWith("scores") ? "f32" : key.endsWith("token_type") ? "i32" : "string";
  return { type: "array", of, value: value as readonly string[] };
}

/** A Llama's GGUF file with this vocabulary, for as long as `use` runs. */
function withFile(
  metadata: Readonly<Record<string, unknown>>,
  use: (path: string, folder: string, backend: Backend) => Promise<void>,
): Promise<void> {
  return withBackend("reference", async (backend) => {
    using folder = temporaryFolder();
    const config = {
      model_type: "llama",
      hidden_size: 8,
      intermediate_size: 8,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      vocab_size: (metadata["tokenizer.ggml.tokens"] as readonly string[]).length,
      max_position_embeddings: 16,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
    };
    const [bare, path] = [`${folder.path}/bare.gguf`, `${folder.path}/model.gguf`];
    await saveModel(bare, freshModel(config, { backend, key: 0 }));
    const file = openGguf(bare);
    const vocabulary = Object.entries(metadata).map(([key, value]) => [key, fieldOf(key, value)] as const);
    const other = [...file.fields].filter(([key]) => !key.startsWith("tokenizer."));
    await writeGguf(path, new Map([...other, ...vocabulary]), file.tensors.values());
    file.close();
    await use(path, folder.path, backend);
  });
}

for (const name of ["gpt-2", "smollm", "llama-bpe", "qwen2", "llama"]) {
  Deno.test(`a GGUF file's tokenizer is by default the one that the file describes: ${name}`, () => {
    const golden = goldenOf(name);
    return withFile(golden.metadata, async (path, folder, backend) => {
      const model = await loadModel(path, { backend });
      await saveModel(`${folder}/saved`, model);
      const saved = await loadModel(`${folder}/saved`, { backend });
      const made = { loaded: model.tokenizer, alone: await loadTokenizerOf(path), saved: saved.tokenizer };
      for (const [way, tokenizer] of Object.entries(made)) {
        textsOf(golden).forEach((text, i) =>
          assert.deepEqual(tokenizer!.encode(text), golden.special[i], `${way}: ${JSON.stringify(text)}`)
        );
      }
      model.dispose();
      saved.dispose();
    });
  });
}

Deno.test("a GGUF file is read as Python's loader reads it when asked", () => {
  const golden = goldenOf("smollm");
  return withFile(golden.metadata, async (path, _, backend) => {
    const model = await loadModel(path, { backend, ggufTokenizer: "transformers" });
    const bos = golden.metadata["tokenizer.ggml.bos_token_id"];
    assert.equal(model.tokenizer.encode("hello")[0], bos);
    model.dispose();
  });
});

const MESSAGES = [{ role: "user", content: "the dog" }];
const PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}";

Deno.test("a text of a chat template encodes with one start token, or none, without being told", () => {
  for (const name of ["llama", "llama-bpe", "smollm"]) {
    const { metadata } = goldenOf(name);
    for (const start of [true, false]) {
      for (const template of [PLAIN, `{{ bos_token }}${PLAIN}`]) {
        const made = ggufTokenizer(
          new Map(Object.entries({
            ...metadata,
            "tokenizer.ggml.add_bos_token": start,
            "tokenizer.chat_template": template,
          })),
        );
        const ids = made.encode(made.chat(MESSAGES));
        const expected = start || template !== PLAIN ? 1 : 0;
        assert.equal(ids.filter((id) => id === made.bos).length, expected, `${name} ${start} ${template}`);
        const text = made.encode("the dog", { addSpecialTokens: false });
        assert.deepEqual(ids.slice(expected), text);
      }
    }
  }
});

Deno.test("a SentencePiece vocabulary without the numbers of its special tokens has llama.cpp's: 1, 2 and 0", () => {
  const { metadata } = goldenOf("llama");
  const bare = Object.entries(metadata).filter(([key]) => !key.endsWith("_token_id"));
  const made = ggufTokenizer(new Map(bare));
  assert.deepEqual([made.bos, made.eos, made.unk], [1, 2, 0]);
  assert.equal(made.encode("the dog")[0], 1);
});

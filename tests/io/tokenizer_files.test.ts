/** The tokenizer of a GGUF file goes along when its model is saved as a folder, and the other way round. */
import assert from "node:assert/strict";
import { SPECIAL, TOKENIZER_CONFIG } from "../../embedded/tokenizer.ts";
import { trainBpe } from "../../embedded/bpe.ts";
import { tokenizer } from "../../formats/tokenizer.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveModel } from "../../io/save_model.ts";
import { freshModel } from "../../models/fresh.ts";
import { withBackend } from "../support/backends.ts";
import { temporaryFolder } from "../cli/tiny.ts";

const TEXTS = [
  "The parcel of 12 June is late.",
  "a  b\n\nc",
  "naïve 🙂 don't",
  "<|user|>\nhi\n<|assistant|>\n",
  "",
];

Deno.test("saveModel() carries a tokenizer from a folder to a GGUF file and back into a folder", () =>
  withBackend("reference", async (backend) => {
    using folder = temporaryFolder();
    const { path } = folder;
    const json = trainBpe(TEXTS, { vocabulary: 280, special: SPECIAL, digits: "single" });
    const made = tokenizer({ tokenizer: json, config: TOKENIZER_CONFIG });
    const config = {
      ...{
        model_type: "llama",
        hidden_size: 8,
        intermediate_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 2,
      },
      ...{
        vocab_size: made.vocabSize,
        max_position_embeddings: 16,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
      },
    };
    await saveModel(`${path}/a`, freshModel(config, { backend, key: 0, tokenizer: made }));
    await Deno.writeTextFile(`${path}/a/tokenizer.json`, JSON.stringify(json));
    await Deno.writeTextFile(`${path}/a/tokenizer_config.json`, JSON.stringify(TOKENIZER_CONFIG));
    await saveModel(`${path}/b.gguf`, await loadModel(`${path}/a`, { backend }));
    const gguf = await loadModel(`${path}/b.gguf`, { backend });
    await saveModel(`${path}/c`, gguf);
    const { tokenizer: back } = await loadModel(`${path}/c`, { backend });
    for (const text of TEXTS) {
      assert.deepEqual(back.encode(text), gguf.tokenizer.encode(text), text);
      assert.equal(back.decode(back.encode(text, { addSpecialTokens: false })), text);
    }
    const chat = [{ role: "user", content: "hi" }];
    const rendered = made.chat(chat, { addGenerationPrompt: true });
    assert.equal(back.chat(chat, { addGenerationPrompt: true }), rendered);
    assert.deepEqual([back.eos, back.vocabSize], [made.eos, made.vocabSize]);
  }));

/**
 * The embedded model of the first pretraining, of which llama.cpp's golden text was made, in Q8_0, which anyone can make again to the
 * same bytes, and prompts for it.
 */
import { fileURLToPath } from "node:url";
import { type Backend, key, type Model } from "../../core/mod.ts";
import { corpus } from "../../embedded/corpus.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveModel } from "../../io/save_model.ts";

/** Prompts, and tokens made after each. */
export const PROMPTS = 60;
export const MADE = 24;

/** Texts that the model was not trained on, cut in the middle. */
const HELD_OUT = 10_000_000;

const FIRST = fileURLToPath(new URL("./first_embedded", import.meta.url));

/** Writes that model as a GGUF file of matrices in Q8_0. */
export async function writeEmbeddedQ8(path: string, backend: Backend): Promise<Model<Tokenizer>> {
  const model = await loadModel(FIRST, { backend });
  await saveModel(path, model, { dtype: "q8_0" });
  return model;
}

/** Token ids of the prompts. */
export function embeddedPrompts({ tokenizer }: Model<Tokenizer>): readonly (readonly number[])[] {
  return [...corpus(key(0), HELD_OUT, HELD_OUT + PROMPTS)].map((text) => {
    const ids = tokenizer.encode(text);
    return ids.slice(0, Math.min(160, Math.ceil(0.6 * ids.length)));
  });
}

/** The file's digest, to tell whether golden text is of these weights. */
export async function digest(path: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", Deno.readFileSync(path));
  return new Uint8Array(bytes).toHex();
}

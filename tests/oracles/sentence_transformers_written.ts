/**
 * Writes golden/sentence_transformers_folders again by our own code, for sentence_transformers_folders.py --check.
 *
 *     deno run -A tests/oracles/sentence_transformers_written.ts FOLDER
 */
import { copyFileSync } from "node:fs";
import { loadEmbedder, saveEmbedder } from "../../io/sentence_transformers.ts";
import { reference } from "../../ops/reference/mod.ts";
import { GOLDEN } from "../support/golden.ts";

const [folder] = Deno.args;
if (folder === undefined) throw new Error("Expected a folder");
for (const name of ["bert", "roberta", "llama"]) {
  const from = `${GOLDEN}sentence_transformers_folders/${name}`;
  const embedder = await loadEmbedder(from, { backend: reference() });
  await saveEmbedder(`${folder}/${name}`, embedder);
  for (const file of ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]) {
    copyFileSync(`${from}/${file}`, `${folder}/${name}/${file}`);
  }
  embedder.dispose();
}

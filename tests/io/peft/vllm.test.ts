/** Our folders in vLLM: tests/oracles/vllm_reader.py had its own code read what vllm_written.ts writes, and made golden/vllm_reader.json. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { openSafetensors } from "../../../formats/safetensors.ts";
import { FOLDERS, writeFolder } from "../../oracles/vllm_written.ts";
import { inFolder } from "../../support/folder.ts";
import { GOLDEN } from "../../support/golden.ts";

interface Case {
  readonly config: Readonly<Record<string, unknown>>;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly layers?: Readonly<Record<string, { readonly rank: number; readonly scale: number }>>;
  readonly saved?: readonly string[];
  readonly refused?: string;
}

const { cases }: { readonly cases: Readonly<Record<string, Case>> } = JSON.parse(
  readFileSync(`${GOLDEN}vllm_reader.json`, "utf8"),
);

/** What the documents say that vLLM does not take. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  dora_refused: /does not yet support DoRA/,
  ia3_refused: /Missing required configuration fields/,
  rank_32_refused: /rank 32 is greater than max_lora_rank 16/,
};

assert.deepEqual(Object.keys(cases).sort(), Object.keys(FOLDERS).sort());
for (const [name, { config, shapes, layers, saved, refused }] of Object.entries(cases)) {
  Deno.test(`the folder ${name} is the one that vLLM's reader ${refused === undefined ? "took" : "refused"}`, () =>
    inFolder(async (folder) => {
      await writeFolder(`${folder}/adapter`, name);
      const own = JSON.parse(readFileSync(`${folder}/adapter/adapter_config.json`, "utf8"));
      assert.deepEqual({ ...own, base_model_name_or_path: "base" }, config);
      const file = openSafetensors(`${folder}/adapter/adapter_model.safetensors`);
      assert.deepEqual(Object.fromEntries([...file.tensors].map(([key, { shape }]) => [key, shape])), shapes);
      file.close();
      if (refused !== undefined) return assert.match(refused, REFUSED[name]!);
      // Every tensor serves a layer, at the scale that the config says.
      assert.equal(Object.keys(shapes).length, 2 * Object.keys(layers!).length + saved!.length);
      const scale = name === "lora_all_linear" ? 3 : name === "rslora" ? 4 : 1;
      assert.ok(Object.values(layers!).every((layer) => layer.scale === scale), JSON.stringify(layers));
    }));
}

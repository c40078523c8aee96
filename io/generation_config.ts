/** `generation_config.json`: how a model's makers advise to draw its tokens. */
import { exists } from "./path_exists.ts";
import { readJson } from "./inspect_contents.ts";
import type { Sampler } from "../core/mod.ts";
import { typeError } from "../errors/error.ts";

/**
 * The sampler that a model's folder advises: its temperature, top-k and top-p where `do_sample` is true. Undefined, which is
 * greedy, where the file is missing or says nothing of sampling, as transformers reads it.
 *
 * @param folder A model's folder; a GGUF file has no such advice.
 * @throws {TypeError} on a file whose fields are no numbers.
 * @example
 * ```ts
 * import { advisedSampler } from "@graft/peft/io";
 * import { writeTextAtomically } from "@graft/peft/formats";
 * import { mkdtempSync, rmSync } from "node:fs";
 * import assert from "node:assert/strict";
 * const folder = mkdtempSync("model-");
 * assert.equal(advisedSampler(folder), undefined);
 * await writeTextAtomically(`${folder}/generation_config.json`, '{"do_sample": true, "temperature": 0.6, "top_k": 20}');
 * assert.deepEqual(advisedSampler(folder), { temperature: 0.6, topK: 20 });
 * rmSync(folder, { recursive: true });
 * ```
 */
export function advisedSampler(folder: string): Sampler | undefined {
  const path = `${folder}/generation_config.json`;
  if (!exists(path)) return undefined;
  const config = readJson(path) as Readonly<Record<string, unknown>>;
  if (config["do_sample"] !== true) return undefined;
  const number = (name: string): number | undefined => {
    const value = config[name];
    if (value === undefined || value === null) return undefined;
    if (typeof value === "number" && value >= 0) return value;
    throw typeError(
      "FILE_INVALID",
      `Expected "${name}" in ${path} to be a number from 0 but found ${JSON.stringify(value)}`,
    );
  };
  const [temperature, topK, topP] = [number("temperature"), number("top_k"), number("top_p")];
  if (temperature === 0) return undefined;
  return {
    ...temperature !== undefined && { temperature },
    ...topK !== undefined && topK > 0 && { topK }, // 0 is none
    ...topP !== undefined && topP < 1 && { topP },
  };
}

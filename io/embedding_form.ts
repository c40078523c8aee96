/** How a folder of sentence-transformers makes vectors of texts: what its files of configuration say. */
import { readFile } from "node:fs/promises";
import { isObject, parseJson } from "../formats/strict_json.ts";
import type { EmbedOptions } from "../models/mod.ts";
import { isMissing } from "../platform/files.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** How texts become vectors. */
export interface EmbeddingForm {
  /** Which states make the vector. */
  readonly pooling: NonNullable<EmbedOptions["pooling"]>;
  /** Whether vectors have length 1. */
  readonly normalize: boolean;
  /** Texts that are put before a text, by name: "query", "document". */
  readonly prompts: Readonly<Record<string, string>>;
  /** The name of the prompt that is used where none is named. */
  readonly defaultPrompt?: string;
  /** Most tokens of a text, its special ones included. */
  readonly maxLength: number;
}

/** Names of pooling in the folders. */
export const POOLING_NAMES: Readonly<Record<string, EmbeddingForm["pooling"]>> = {
  cls_token: "first",
  mean_tokens: "mean",
  max_tokens: "max",
  lasttoken: "last",
};

/** What the files of a folder say; nothing of a folder without them. @throws {RangeError} when the folder has modules that are not supported; the message names them. */
export async function embeddingForm(folder: string): Promise<Partial<EmbeddingForm>> {
  const modules = await json(`${folder}/modules.json`);
  if (modules === undefined) return {};
  if (!Array.isArray(modules)) throw typeError("FILE_INVALID", `Expected a list in ${folder}/modules.json`);
  const kinds = modules.map((one) => ({
    kind: String((one as { type?: unknown }).type).split(".").at(-1)!,
    path: String((one as { path?: unknown }).path),
  }));
  const other = kinds.find(({ kind }) => !["Transformer", "Pooling", "Normalize"].includes(kind));
  if (other !== undefined || kinds[0]?.kind !== "Transformer" || kinds[1]?.kind !== "Pooling") {
    throw rangeError(
      "FILE_UNSUPPORTED",
      `Cannot load ${folder}: known are a Transformer, its Pooling and Normalize, but it has ${
        kinds.map(({ kind }) => kind).join(", ")
      }`,
    );
  }
  const pooling = fields(await json(`${folder}/${kinds[1].path}/config.json`));
  const transformer = fields(await json(`${folder}/sentence_bert_config.json`));
  const general = fields(await json(`${folder}/config_sentence_transformers.json`));
  const tokenizer = fields(await json(`${folder}/tokenizer_config.json`));
  if (transformer["do_lower_case"] === true) {
    throw rangeError(
      "FILE_UNSUPPORTED",
      `Cannot load ${folder}: do_lower_case of sentence_bert_config.json is not supported`,
    );
  }
  const prompts = fields(general["prompts"]) as Readonly<Record<string, string>>;
  if (pooling["include_prompt"] === false && Object.values(prompts).some((text) => text !== "")) {
    throw rangeError(
      "FILE_UNSUPPORTED",
      `Cannot load ${folder}: a pooling that leaves prompts out, "include_prompt": false is not supported`,
    );
  }
  const most = [transformer["max_seq_length"], tokenizer["model_max_length"]].find((n) =>
    typeof n === "number"
  );
  const name = general["default_prompt_name"];
  return {
    pooling: poolingOf(folder, pooling),
    normalize: kinds.some(({ kind }) => kind === "Normalize"),
    prompts,
    ...typeof name === "string" && { defaultPrompt: name },
    ...typeof most === "number" && { maxLength: most },
  };
}

/** @throws {RangeError} when it is of a kind that is not supported, or several at once. */
function poolingOf(folder: string, config: Readonly<Record<string, unknown>>): EmbeddingForm["pooling"] {
  const named = config["pooling_mode"];
  const chosen = typeof named === "string"
    ? [named]
    : Object.keys(config).filter((key) => key.startsWith("pooling_mode_") && config[key] === true)
      .map((key) => key.slice("pooling_mode_".length));
  const short: Readonly<Record<string, EmbeddingForm["pooling"]>> = {
    ...POOLING_NAMES,
    cls: "first",
    mean: "mean",
    max: "max",
  };
  const found = chosen.length === 1 ? short[chosen[0]!] : undefined;
  if (found !== undefined) return found;
  throw rangeError(
    "FILE_INVALID",
    `Cannot load ${folder}: expected one pooling of cls, mean, max and lasttoken but found ${
      chosen.join(", ") || "none"
    }`,
  );
}

const fields = (value: unknown): Readonly<Record<string, unknown>> =>
  isObject(value) && !Array.isArray(value) ? value as Readonly<Record<string, unknown>> : {};

async function json(path: string): Promise<unknown> {
  const bytes = await readFile(path).catch((error) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  return bytes === undefined ? undefined : parseJson(path, bytes);
}

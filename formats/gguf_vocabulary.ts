/**
 * The `tokenizer.*` metadata of a GGUF file from a Hugging Face tokenizer.json, so that llama.cpp and Ollama can run a
 * model that came from a Hugging Face folder. The way back is `ggufTokenizer`.
 *
 * Byte-level BPE becomes model "gpt2"; BPE with byte fallback (SentencePiece made it) becomes model "llama", whose
 * scores are rebuilt from the order of the merges: earlier merge, better score, which joins pairs in the same order.
 */
import type { GgufItem, GgufScalar, GgufValue } from "./gguf_metadata.ts";
import { isObject } from "./strict_json.ts";
import { GPT2_PATTERN, lettersOrDigits } from "./tokenizer_split.ts";
import type { JsonObject } from "./tensor_file.ts";
import { typeError } from "../errors/error.ts";

/** Values of `tokenizer.ggml.token_type`. */
const NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6;

/** The description of a tokenizer. */
export interface VocabularySource {
  /** The content of tokenizer.json. */
  readonly tokenizer: JsonObject;
  /** The content of tokenizer_config.json; used for special tokens. */
  readonly config?: JsonObject;
  /** Rows of the model's embedding when it has more than the tokenizer has tokens; the rest are unused. */
  readonly vocabSize?: number;
  /** llama.cpp's name of the pre-tokenizer, when it cannot be inferred from tokenizer.json. */
  readonly pre?: string;
}

/**
 * The metadata fields of a tokenizer.
 *
 * @throws {TypeError} when GGUF has no such tokenizer, its pre-tokenizer is not known (give `pre`), or it
 * adds tokens other than BOS and EOS to a text.
 * @example
 * ```ts
 * import { vocabularyFields } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const json = JSON.parse(await Deno.readTextFile("embedded/model/tokenizer.json"));
 * const fields = vocabularyFields({ tokenizer: json });
 * assert.deepEqual(fields.get("tokenizer.ggml.model"), { type: "string", value: "gpt2" }); // BPE over bytes
 * ```
 */
export function vocabularyFields(source: VocabularySource): ReadonlyMap<string, GgufValue> {
  const { tokenizer, config = {} } = source;
  const model = tokenizer["model"];
  if (!isObject(model) || model["type"] !== "BPE" || !isObject(model["vocab"])) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot write this tokenizer to GGUF: expected a BPE model but found ${
        isObject(model) ? model["type"] : model
      }`,
    );
  }
  const sentencePiece = model["byte_fallback"] === true;
  const merges = pairs(model["merges"]);
  const { tokens, types } = tokenList(tokenizer, model, source.vocabSize ?? 0);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const added = addedTokens(tokenizer, ids);
  const special: [string, number | undefined][] = [
    ["bos", ids.get(tokenText(config["bos_token"]) ?? added.bos ?? "")],
    ["eos", ids.get(tokenText(config["eos_token"]) ?? added.eos ?? "")],
    ["unknown", ids.get(tokenText(config["unk_token"]) ?? tokenText(model["unk_token"]) ?? "")],
    ["padding", ids.get(tokenText(config["pad_token"]) ?? "")],
  ];
  const template = config["chat_template"];
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", text(sentencePiece ? "llama" : "gpt2")],
    ["tokenizer.ggml.pre", text(source.pre ?? (sentencePiece ? "default" : preOf(tokenizer)))],
    ["tokenizer.ggml.tokens", list("string", tokens)],
    ...(sentencePiece
      ? [
        ["tokenizer.ggml.scores", list("f32", scoresOf(tokens, merges))],
        ["tokenizer.ggml.add_space_prefix", flag(prefixesSpace(tokenizer))],
      ] satisfies [string, GgufValue][]
      : [["tokenizer.ggml.merges", list("string", merges.map((pair) => pair.join(" ")))]] satisfies [
        string,
        GgufValue,
      ][]),
    ["tokenizer.ggml.token_type", list("i32", types)],
    ...special.flatMap(([role, id]): [string, GgufValue][] =>
      id === undefined ? [] : [[`tokenizer.ggml.${role}_token_id`, { type: "u32", value: id }]]
    ),
    ["tokenizer.ggml.add_bos_token", flag(added.bos !== undefined)],
    ["tokenizer.ggml.add_eos_token", flag(added.eos !== undefined)],
    ...(typeof template === "string"
      ? [["tokenizer.chat_template", text(template)] as [string, GgufValue]]
      : []),
  ]);
}

const text = (value: string): GgufValue => ({ type: "string", value });
const flag = (value: boolean): GgufValue => ({ type: "bool", value });
const list = (of: GgufScalar, value: readonly GgufItem[]): GgufValue => ({ type: "array", of, value });

/** A token in tokenizer_config.json is a string or an object with its content. */
function tokenText(value: unknown): string | undefined {
  const content = isObject(value) ? value["content"] : value;
  return typeof content === "string" ? content : undefined;
}

function tokenList(
  tokenizer: JsonObject,
  model: JsonObject,
  vocabSize: number,
): { readonly tokens: readonly string[]; readonly types: readonly number[] } {
  const entries = Object.entries(model["vocab"] as Record<string, number>)
    .map(([token, id]) => [id, token, /^<0x[0-9A-F]{2}>$/.test(token) ? BYTE : NORMAL] as const);
  const added = (Array.isArray(tokenizer["added_tokens"]) ? tokenizer["added_tokens"] : []) as readonly {
    readonly id: number;
    readonly content: string;
    readonly special: boolean;
  }[];
  // llama.cpp's converter uses this type only for SentencePiece; elsewhere the token is an ordinary special
  // token.
  const unk = model["byte_fallback"] === true ? tokenText(model["unk_token"]) : undefined;
  const all = [
    ...entries,
    ...added.map(({ id, content, special }) =>
      [id, content, content === unk ? UNKNOWN : special ? CONTROL : USER_DEFINED] as const
    ),
  ];
  const size = all.reduce((n, [id]) => Math.max(n, id + 1), vocabSize);
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(size).fill(UNUSED);
  for (const [id, token, type] of all) {
    tokens[id] = token;
    types[id] = type;
  }
  return { tokens, types };
}

/** Merges as pairs; older files write each as one string. */
function pairs(merges: unknown): readonly (readonly string[])[] {
  if (!Array.isArray(merges)) {
    throw typeError("CANNOT_SAVE", "Cannot write this tokenizer to GGUF: it has no list of merges");
  }
  return merges.map((merge) => typeof merge === "string" ? merge.split(" ") : merge as readonly string[]);
}

function scoresOf(tokens: readonly string[], merges: readonly (readonly string[])[]): readonly number[] {
  const rank = new Map<string, number>();
  merges.forEach((pair, i) => rank.has(pair.join("")) || rank.set(pair.join(""), i));
  return tokens.map((token) => -(rank.get(token) ?? (token.length > 1 ? 0 : merges.length)));
}

/** llama.cpp's name of the pre-tokenizer; four families can be recognized from tokenizer.json. */
function preOf(tokenizer: JsonObject): string {
  const pre = tokenizer["pre_tokenizer"];
  const parts = isObject(pre) && pre["type"] === "Sequence" ? pre["pretokenizers"] : [pre];
  const shape = JSON.stringify((Array.isArray(parts) ? parts : []).map((part) => {
    if (!isObject(part)) return part;
    if (part["type"] === "ByteLevel") {
      return part["add_prefix_space"] === true ? "prefix" : part["use_regex"] !== false;
    }
    if (part["type"] === "Digits") return part["individual_digits"] === true ? "digit" : "digits";
    if (part["type"] === "Split" && part["behavior"] === "Isolated" && part["invert"] !== true) {
      return part["pattern"];
    }
    return part["type"];
  }));
  const words = (digits: string) => ({
    Regex: "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" + digits +
      "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  });
  // Each as in published models, and as written by ggufTokenizer, which makes everything explicit.
  const spelled = (...patterns: readonly string[]) => [...patterns.map((Regex) => ({ Regex })), false];
  const known: readonly (readonly [string, unknown])[] = [
    ["gpt-2", [true]],
    ["gpt-2", spelled(GPT2_PATTERN)],
    ["smollm", ["digit", true]],
    ["smollm", spelled("\\p{N}", GPT2_PATTERN)],
    ["llama-bpe", [words("\\p{N}{1,3}"), false]],
    ["llama-bpe", spelled(lettersOrDigits("\\p{N}{1,3}"))],
    ["qwen2", [words("\\p{N}"), false]],
    ["qwen2", spelled(lettersOrDigits("\\p{N}"))],
  ];
  const found = known.find(([, parts]) => JSON.stringify(parts) === shape)?.[0];
  if (found !== undefined) return found;
  throw typeError(
    "CANNOT_SAVE",
    `Cannot write this tokenizer to GGUF: its pre-tokenizer ${shape} is not known; give llama.cpp's name for it as { pre }`,
  );
}

/** The tokens that the post-processor adds before and after a text. */
function addedTokens(
  tokenizer: JsonObject,
  ids: ReadonlyMap<string, number>,
): { readonly bos?: string; readonly eos?: string } {
  const post = tokenizer["post_processor"];
  const steps = isObject(post) && post["type"] === "Sequence" ? post["processors"] : [post];
  const template = (steps as readonly unknown[]).find((step) =>
    isObject(step) && step["type"] !== "ByteLevel"
  );
  if (template === undefined || template === null) return {};
  const single = isObject(template) && template["type"] === "TemplateProcessing"
    ? template["single"]
    : undefined;
  if (Array.isArray(single)) {
    const row = single.map((part) =>
      isObject(part?.SpecialToken) ? String(part.SpecialToken["id"]) : undefined
    );
    const at = row.indexOf(undefined);
    if (at >= 0 && at <= 1 && row.length - at <= 2 && row.every((id) => id === undefined || ids.has(id))) {
      const [bos, eos] = [row[at - 1], row[at + 1]];
      return { ...(bos === undefined ? {} : { bos }), ...(eos === undefined ? {} : { eos }) };
    }
  }
  throw typeError(
    "CANNOT_SAVE",
    "Cannot write this tokenizer to GGUF: its post_processor does more than add BOS and EOS",
  );
}

/** Whether a space is added before the text, by the normalizer or by the pre-tokenizer. */
function prefixesSpace(tokenizer: JsonObject): boolean {
  const json = JSON.stringify([tokenizer["normalizer"], tokenizer["pre_tokenizer"]]);
  return json.includes('"type":"Prepend"') || /"prepend_scheme":"(first|always)"/.test(json);
}

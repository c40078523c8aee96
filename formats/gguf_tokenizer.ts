/**
 * Tokenizers from GGUF metadata: the vocabulary under `tokenizer.ggml.*`, converted to the form of a
 * tokenizer.json.
 *
 * | tokenizer.ggml.model | what it is |
 * |---|---|
 * | gpt2 | byte-level BPE: tokens, merges, and the name of the pre-tokenizer in `tokenizer.ggml.pre` |
 * | llama | SentencePiece BPE: tokens and scores; a pair merges when its concatenation is a token, the best score first |
 *
 * transformers' own GGUF loader ignores `pre` and `add_bos_token`, and always uses GPT-2's pattern and a BOS;
 * this follows the file, as llama.cpp does. `{ pre: "gpt-2" }` gives transformers' ids.
 */
import { type Tokenizer, tokenizer, type TokenizerFiles } from "./tokenizer.ts";
import { type Part, split } from "./tokenizer_split.ts";
import { type Pre, preOf } from "./gguf_pretokenizer.ts";
import { typeError } from "../errors/error.ts";

/** The metadata of a GGUF file: keys to strings, numbers, booleans and arrays of them. */
export type GgufMetadata = ReadonlyMap<string, unknown>;

/** Kinds of tokens: the values of `tokenizer.ggml.token_type`. */
const CONTROL = 3;
const USER_DEFINED = 4;

/** The ids of special tokens in a SentencePiece vocabulary when the file does not give them. */
const SENTENCE_PIECE_IDS: Readonly<Record<string, number>> = { unknown: 0, bos: 1, eos: 2 };

/** Options of reading the metadata. */
export interface GgufTokenizerOptions {
  /** A pre-tokenizer name that overrides the file's `tokenizer.ggml.pre`. */
  readonly pre?: string;
}

/**
 * The tokenizer of a GGUF file.
 *
 * @throws {TypeError} when the file has no vocabulary, or an unknown kind or pre-tokenizer.
 * @example
 * ```ts
 * import { ggufTokenizer, plainGgufValue, vocabularyFields } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const json = JSON.parse(await Deno.readTextFile("embedded/model/tokenizer.json"));
 * const fields = vocabularyFields({ tokenizer: json });
 * const metadata = new Map([...fields].map(([key, value]) => [key, plainGgufValue(value)]));
 * const { encode, decode } = ggufTokenizer(metadata);
 * assert.equal(decode(encode("where is my parcel?")), "where is my parcel?");
 * ```
 */
export function ggufTokenizer(metadata: GgufMetadata, options: GgufTokenizerOptions = {}): Tokenizer {
  return tokenizer(ggufTokenizerFiles(metadata, options));
}

/**
 * The same tokenizer as the files of a Hugging Face folder: tokenizer.json, tokenizer_config.json and the chat template.
 *
 * @throws as `ggufTokenizer`.
 * @example
 * ```ts
 * import { ggufTokenizerFiles, plainGgufValue, vocabularyFields } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const json = JSON.parse(await Deno.readTextFile("embedded/model/tokenizer.json"));
 * const fields = vocabularyFields({ tokenizer: json });
 * const metadata = new Map([...fields].map(([key, value]) => [key, plainGgufValue(value)]));
 * const files = ggufTokenizerFiles(metadata);
 * assert.deepEqual(Object.keys((files.tokenizer as typeof json).model.vocab), Object.keys(json.model.vocab));
 * ```
 */
export function ggufTokenizerFiles(
  metadata: GgufMetadata,
  options: GgufTokenizerOptions = {},
): TokenizerFiles {
  const model = metadata.get("tokenizer.ggml.model");
  const tokens = strings(metadata, "tokenizer.ggml.tokens");
  if (model !== "gpt2" && model !== "llama") {
    throw typeError(
      "TOKENIZER_UNSUPPORTED",
      `Expected tokenizer.ggml.model to be "gpt2" or "llama" but found ${JSON.stringify(model)}`,
    );
  }
  const special = (role: string): string | undefined => {
    const otherwise = model === "llama" ? SENTENCE_PIECE_IDS[role] : undefined;
    const id = metadata.get(`tokenizer.ggml.${role}_token_id`) ?? otherwise;
    return id === undefined ? undefined : tokens[Number(id)];
  };
  const flag = (name: string, otherwise: boolean): boolean => {
    const value = metadata.get(`tokenizer.ggml.${name}`);
    return typeof value === "boolean" ? value : otherwise;
  };
  const name = options.pre ?? String(metadata.get("tokenizer.ggml.pre") ?? "default");
  const pre = model === "gpt2" ? preOf(name) : undefined;
  const bos = flag("add_bos_token", pre === undefined || pre.addBos === true) ? special("bos") : undefined;
  const eos = flag("add_eos_token", false) ? special("eos") : undefined;
  const types = (metadata.get("tokenizer.ggml.token_type") ?? []) as readonly number[];
  const chatTemplate = metadata.get("tokenizer.chat_template");
  const config = {
    bos_token: special("bos"),
    eos_token: special("eos"),
    unk_token: special("unknown"),
    pad_token: special("padding"),
  };
  return {
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      ...(pre === undefined
        ? sentencePiece(metadata, tokens, special("unknown"), flag("add_space_prefix", true))
        : byteLevel(metadata, tokens, pre, special("unknown"))),
      added_tokens: tokens.flatMap((content, id) => {
        const type = types[id];
        return type === CONTROL || type === USER_DEFINED
          ? [{
            id,
            content,
            special: type === CONTROL,
            normalized: false,
            single_word: false,
            lstrip: false,
            rstrip: false,
          }]
          : [];
      }),
      post_processor: template(tokens, bos, eos),
    },
    config: Object.fromEntries(Object.entries(config).filter(([, v]) => v !== undefined)),
    ...(typeof chatTemplate === "string" ? { chatTemplate } : {}),
  };
}

/** The template of one text, and of a pair. */
function template(tokens: readonly string[], bos: string | undefined, eos: string | undefined): Part {
  const sides = (id: "A" | "B", type_id: number): readonly unknown[] => [
    ...around(bos, type_id),
    { Sequence: { id, type_id } },
    ...around(eos, type_id),
  ];
  const used = [bos, eos].filter((token): token is string => token !== undefined);
  return {
    type: "TemplateProcessing",
    single: sides("A", 0),
    pair: [...sides("A", 0), ...sides("B", 1)],
    special_tokens: Object.fromEntries(
      used.map((token) => [token, { id: token, ids: [tokens.indexOf(token)], tokens: [token] }]),
    ),
  };
}

const around = (token: string | undefined, type_id: number): readonly unknown[] =>
  token === undefined ? [] : [{ SpecialToken: { id: token, type_id } }];

/** The parts of a tokenizer.json in which the two kinds of vocabulary differ. */
interface Body {
  readonly normalizer: Part | null;
  readonly pre_tokenizer: Part | null;
  readonly decoder: Part;
  readonly model: Part;
}

function byteLevel(
  metadata: GgufMetadata,
  tokens: readonly string[],
  pre: Pre,
  unk: string | undefined,
): Body {
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    normalizer: pre.nfc === true ? { type: "NFC" } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...pre.patterns.map(split), bytes] },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: strings(metadata, "tokenizer.ggml.merges").map((pair) => pair.split(" ")),
      unk_token: unk ?? null,
      ignore_merges: pre.ignoreMerges === true,
    },
  };
}

function sentencePiece(
  metadata: GgufMetadata,
  tokens: readonly string[],
  unknown: string | undefined,
  space: boolean,
): Body {
  const scores = metadata.get("tokenizer.ggml.scores") as readonly number[] | undefined;
  if (scores?.length !== tokens.length) {
    throw typeError(
      "TOKENIZER_UNSUPPORTED",
      `Expected tokenizer.ggml.scores to hold ${tokens.length} scores, one for each token, but found ${
        scores?.length ?? 0
      }`,
    );
  }
  return {
    normalizer: {
      type: "Sequence",
      normalizers: [
        ...(space ? [{ type: "Prepend", prepend: "▁" }] : []),
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(space ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: mergesOf(tokens, scores),
      unk_token: unknown ?? null,
      fuse_unk: true,
      byte_fallback: true,
    },
  };
}

/**
 * SentencePiece joins the adjacent pair whose concatenation has the best score. As a list of merges: every
 * way to split a token into two tokens, the best concatenations first.
 */
function mergesOf(tokens: readonly string[], scores: readonly number[]): readonly (readonly string[])[] {
  const known = new Set(tokens);
  const merges: { readonly pair: readonly string[]; readonly score: number }[] = [];
  tokens.forEach((token, id) => {
    const letters = Array.from(token);
    for (let i = 1; i < letters.length; i++) {
      const pair = [letters.slice(0, i).join(""), letters.slice(i).join("")];
      if (known.has(pair[0]!) && known.has(pair[1]!)) merges.push({ pair, score: scores[id]! });
    }
  });
  return merges.sort((a, b) => b.score - a.score).map(({ pair }) => pair);
}

function strings(metadata: GgufMetadata, key: string): readonly string[] {
  const value = metadata.get(key);
  if (!Array.isArray(value)) {
    throw typeError("TOKENIZER_UNSUPPORTED", `Expected ${key} in the GGUF metadata but found none`);
  }
  return value;
}

/**
 * Tokenizers: text to token ids and back, from a checkpoint's tokenizer.json. `@huggingface/tokenizers` does
 * the tokenization, piece by piece (`tokenizer_pieces.ts`); where it differs from the Rust tokenizers, `tokenizer_normalizer.ts`,
 * `tokenizer_split.ts` and `tokenizer_decoder.ts` replace and document it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { type ChatMessage, chatTemplate, chatTemplateSource } from "./chat_template.ts";
import { isObject } from "./strict_json.ts";
import { checkTokenizerJson, refusalsOf } from "./tokenizer_check.ts";
import { decoder } from "./tokenizer_decoder.ts";
import { FunctionNormalizer, normalizer } from "./tokenizer_normalizer.ts";
import { pieceEncoder } from "./tokenizer_pieces.ts";
import { preTokenizer } from "./tokenizer_split.ts";
import { type Wrap, type Wrapped, wrapper } from "./tokenizer_wrap.ts";
import {
  addedTokens,
  content,
  definedFields,
  type Fields,
  postProcessor,
  type TokenizerJson,
} from "./tokenizer_fields.ts";
import { syntaxError, typeError } from "../errors/error.ts";

/** Turns text into token ids and ids into text. */
export interface Tokenizer {
  /** The number of ids: the highest one plus one. */
  readonly vocabSize: number;
  /** The id that begins a text, if the checkpoint names one. */
  readonly bos?: number;
  /** The id that ends a text. */
  readonly eos?: number;
  /** The padding id. */
  readonly pad?: number;
  /** The id for text that the vocabulary cannot express. */
  readonly unk?: number;
  /** The files that it was made of, from which another thread makes the same one. */
  readonly files?: TokenizerFiles;
  /**
   * The ids of a text. Special tokens written in the text are mapped to their ids. Unpaired surrogates are
   * treated as U+FFFD. Where the checkpoint has a chat template, a text that begins with the start token, as
   * `chat` may write it, does not get a second one.
   *
   * @param options `addSpecialTokens`: add the checkpoint's special tokens around the text (BOS, [CLS] …
   * [SEP]). Default true.
   * @throws {TypeError} when the vocabulary cannot express the text and has no token for unknown text.
   */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /**
   * Adds the special tokens of `encode` around the ids of one text or two, with types 0 and 1 where the
   * checkpoint has them.
   */
  wrap(first: readonly number[], second?: readonly number[]): Wrapped;
  /**
   * The text of some ids. Ids that the vocabulary does not have (models often have a few more rows) are
   * ignored.
   *
   * @param options `skipSpecialTokens`: omit special tokens. Default false.
   */
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
  /**
   * A conversation as the text that the model was tuned on, including special tokens, to be passed to
   * `encode`.
   *
   * @param options `addGenerationPrompt`: end with the opening of the assistant's turn. Default false.
   *   `variables`: further variables of the template, such as `tools`.
   * @throws {TypeError} when the checkpoint has no chat template.
   */
  chat(
    messages: readonly ChatMessage[],
    options?: {
      readonly addGenerationPrompt?: boolean;
      readonly variables?: Readonly<Record<string, unknown>>;
    },
  ): string;
  /** The token with this id, as the vocabulary spells it. */
  token(id: number): string | undefined;
  /** The id of a token as the vocabulary spells it. */
  id(token: string): number | undefined;
}

/** The parsed files of a tokenizer. */
export interface TokenizerFiles {
  /** tokenizer.json. */
  readonly tokenizer: unknown;
  /** tokenizer_config.json. */
  readonly config?: unknown;
  /** special_tokens_map.json. */
  readonly specialTokens?: unknown;
  /** The text of chat_template.jinja, which takes precedence over `chat_template` in the config. */
  readonly chatTemplate?: string;
  /** The name of the file in error messages, default "tokenizer.json". */
  readonly name?: string;
}

/**
 * A tokenizer from its parsed files.
 *
 * @throws {TypeError} when tokenizer.json has no model, an invalid vocabulary or invalid merges, or an
 *   unknown part; the message names the file and the field.
 * @example
 * ```ts
 * import { tokenizer } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const json = JSON.parse(await Deno.readTextFile("embedded/model/tokenizer.json"));
 * const { encode, decode } = tokenizer({ tokenizer: json });
 * assert.equal(decode(encode("where is my parcel?")), "where is my parcel?");
 * ```
 */
export function tokenizer(files: TokenizerFiles): Tokenizer {
  const name = files.name ?? "tokenizer.json";
  checkTokenizerJson(files.tokenizer, refusalsOf(name));
  const json = files.tokenizer as TokenizerJson;
  const config: Fields = { ...(files.specialTokens as Fields), ...definedFields(files.config) };
  const added = addedTokens(json, config);
  const post = postProcessor(json.post_processor ?? null, config);
  const library = libraryTokenizer(name, {
    ...json,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: preTokenizer(json.pre_tokenizer),
    post_processor: post,
    decoder: null,
  });
  if (json.model.type === "WordLevel") { // the library looks for the unknown token elsewhere
    const unknown = library.token_to_id(String(json.model["unk_token"]));
    if (unknown !== undefined) library.model!.unk_token_id = unknown;
  }
  if (json.normalizer) library.normalizer = new FunctionNormalizer(normalizer(json.normalizer));
  const idsOf = pieceEncoder(library, added, (piece) => {
    throw typeError(
      "TOKENIZER_UNSUPPORTED",
      `Cannot encode ${JSON.stringify(piece)}: model.vocab of ${name} lacks it and has no unknown token`,
    );
  });
  const decode = decoder(json.decoder);
  const wrap = wrapper(post, (token) => library.token_to_id(token));
  const special = new Set(added.filter((t) => t.special === true).map((t) => t.content));
  const names = ["bos", "eos", "pad", "unk", "cls", "sep", "mask"] as const;
  const named = names.flatMap((name) => {
    const token = content(config[`${name}_token`]);
    const id = token === undefined ? undefined : library.token_to_id(token);
    return id === undefined ? [] : [[name, token!, id] as const];
  });
  const source = files.chatTemplate ?? chatTemplateSource(config["chat_template"]);
  const render = source === undefined ? undefined : chatTemplate(source);
  return {
    ...Object.fromEntries(
      named.filter(([n]) => ["bos", "eos", "pad", "unk"].includes(n)).map(([n, , id]) => [n, id]),
    ),
    vocabSize: library.model!.vocab.length,
    files,
    encode: (text, { addSpecialTokens = true } = {}) => {
      const plain = idsOf(text);
      if (!addSpecialTokens) return plain;
      const ids = [...wrap(plain).ids];
      return render === undefined ? ids : startedOnce(ids, wrap);
    },
    wrap,
    decode: (ids, { skipSpecialTokens = false } = {}) =>
      decode(
        ids.map((id) => library.id_to_token(id))
          .filter((t): t is string => t !== undefined && !(skipSpecialTokens && special.has(t))),
      ).join(""),
    chat: (messages, { addGenerationPrompt = false, variables = {} } = {}) => {
      if (render === undefined) {
        throw typeError(
          "TOKENIZER_UNSUPPORTED",
          "Cannot write a chat: the checkpoint has no chat template; encode plain text instead",
        );
      }
      const tokens = Object.fromEntries(named.map(([name, token]) => [`${name}_token`, token]));
      return render(messages, { addGenerationPrompt, variables: { ...tokens, ...variables } });
    },
    token: (id) => library.id_to_token(id),
    id: (token) => library.token_to_id(token),
  };
}

/**
 * Reads a checkpoint folder's tokenizer: tokenizer.json and, where they exist, tokenizer_config.json,
 * special_tokens_map.json and chat_template.jinja.
 *
 * @throws {TypeError} when the folder has no tokenizer.json.
 * @example
 * ```ts
 * import { loadTokenizer } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const { encode, decode } = await loadTokenizer("embedded/model");
 * assert.equal(decode(encode("where is my parcel?")), "where is my parcel?");
 * ```
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const text = async (name: string): Promise<string | undefined> => {
    try {
      return await readFile(join(folder, name), "utf8");
    } catch (error) {
      if ((error as { code?: string }).code === "ENOENT") return undefined;
      throw error;
    }
  };
  const json = async (name: string): Promise<Fields | undefined> => {
    const source = await text(name);
    if (source === undefined) return undefined;
    let value: unknown;
    try {
      value = JSON.parse(source);
    } catch (cause) {
      throw syntaxError(
        "TOKENIZER_UNSUPPORTED",
        `Cannot parse ${join(folder, name)}: ${(cause as Error).message}`,
        { cause },
      );
    }
    if (!isObject(value)) {
      throw syntaxError(
        "TOKENIZER_UNSUPPORTED",
        `Cannot read ${join(folder, name)}: it is not a JSON object`,
      );
    }
    return value;
  };
  const main = await json("tokenizer.json");
  if (main === undefined) {
    throw typeError(
      "TOKENIZER_UNSUPPORTED",
      `Expected ${folder} to hold tokenizer.json but found none; save it with transformers' AutoTokenizer`,
    );
  }
  const template = await text("chat_template.jinja");
  return tokenizer({
    tokenizer: main,
    name: join(folder, "tokenizer.json"),
    config: await json("tokenizer_config.json"),
    specialTokens: await json("special_tokens_map.json"),
    ...(template === undefined ? {} : { chatTemplate: template }),
  });
}

/**
 * Ids with special tokens around them, without duplicating the start token if the text already begins with
 * it.
 */
function startedOnce(ids: number[], wrap: Wrap): number[] {
  const around = wrap([NaN]).ids;
  const start = around.slice(0, around.findIndex(Number.isNaN));
  return start.length > 0 && start.every((id, i) => ids[start.length + i] === id)
    ? ids.slice(start.length)
    : ids;
}

function libraryTokenizer(name: string, json: object): LibraryTokenizer {
  try {
    return new LibraryTokenizer(json, {});
  } catch (cause) {
    throw typeError("TOKENIZER_UNSUPPORTED", `Cannot use ${name}: ${(cause as Error).message}`, { cause });
  }
}

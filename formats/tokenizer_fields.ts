/** The fields of tokenizer.json and tokenizer_config.json that concern special tokens. */
import { MOST } from "../core/mod.ts";
import type { Part } from "./tokenizer_split.ts";
import { rangeError } from "../errors/error.ts";

/** A token that is found in a text as it is written. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
  /** It takes the white space before it, or after it. */
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
}

/** The parts of tokenizer.json that are read. */
export interface TokenizerJson {
  readonly model: Part & {
    readonly vocab: Readonly<Record<string, number>> | readonly (readonly [string, number])[];
  };
  readonly added_tokens?: readonly AddedToken[] | null;
  readonly normalizer?: Part | null;
  readonly pre_tokenizer?: Part | null;
  readonly post_processor?: Part | null;
  readonly decoder?: Part | null;
}

/** Fields of a configuration, of any type. */
export type Fields = Readonly<Record<string, unknown>>;

/** The fields that are not null: transformers writes `"bos_token": null` where another file may name one. */
export function definedFields(fields: unknown): Fields {
  return Object.fromEntries(Object.entries((fields ?? {}) as Fields).filter(([, v]) => v !== null));
}

/** A special token's text: files write `"<s>"` or `{ "content": "<s>", … }`. */
export function content(field: unknown): string | undefined {
  if (typeof field === "string") return field;
  const text = (field as { content?: unknown } | undefined)?.content;
  return typeof text === "string" ? text : undefined;
}

/**
 * tokenizer.json's added tokens, then those that only tokenizer_config.json lists, then special tokens named
 * there by role that are so far plain vocabulary: transformers adds them in this order.
 */
export function addedTokens(json: TokenizerJson, config: Fields): readonly AddedToken[] {
  const added = [...(json.added_tokens ?? [])];
  const known = new Set(added.map((t) => t.content));
  const listed = Object.entries((config["added_tokens_decoder"] ?? {}) as Record<string, AddedToken>);
  for (const [id, token] of listed) {
    if (!(Number(id) < MOST.vocabulary)) {
      throw rangeError(
        "TOKENIZER_UNSUPPORTED",
        `Expected ids in added_tokens_decoder of tokenizer_config.json to be below ${MOST.vocabulary} but found ${id}`,
      );
    }
    if (!known.has(token.content)) added.push({ ...token, id: Number(id) });
    known.add(token.content);
  }
  const vocab = json.model.vocab;
  const idOf = (token: string): number | undefined =>
    Array.isArray(vocab)
      ? index(vocab.findIndex((entry) => (entry as readonly unknown[])[0] === token))
      : Object.hasOwn(vocab, token)
      ? (vocab as Readonly<Record<string, number>>)[token]
      : undefined;
  for (const name of ["bos", "eos", "unk", "sep", "pad", "cls", "mask"]) {
    const token = content(config[`${name}_token`]);
    if (token === undefined || known.has(token)) continue;
    const id = idOf(token);
    if (id !== undefined) added.push({ id, content: token, special: true });
    known.add(token);
  }
  return added;
}

const index = (i: number): number | undefined => i < 0 ? undefined : i;

/**
 * Llama's and Gemma's tokenizer classes rebuild the post-processor from two flags and ignore the one in the
 * file.
 */
export function postProcessor(part: Part | null, config: Fields): Part | null {
  if (!/^(CodeLlama|Llama|Gemma)Tokenizer(Fast)?$/.test(String(config["tokenizer_class"]))) return part;
  const special = (token: string | undefined) => ({ SpecialToken: { id: token, type_id: 0 } });
  return {
    type: "TemplateProcessing",
    single: [
      ...(config["add_bos_token"] === false ? [] : [special(content(config["bos_token"]))]),
      { Sequence: { id: "A", type_id: 0 } },
      ...(config["add_eos_token"] === true ? [special(content(config["eos_token"]))] : []),
    ],
  };
}

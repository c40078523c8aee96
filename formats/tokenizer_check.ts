/**
 * Checks of a tokenizer.json before a tokenizer is created from it. The Rust tokenizers refuse invalid files,
 * while `@huggingface/tokenizers` accepts most and gives a tokenizer that encodes to nothing, or to ids that
 * no model has.
 */
import { MOST } from "../core/mod.ts";
import { isObject } from "./strict_json.ts";
import { typeError } from "../errors/error.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Throws an error about a file: which one, which field, and its value. */
export type Refuse = (field: string, expected: string, found: unknown) => never;

/** A `Refuse` with the name of a file. */
export function refusalsOf(file: string): Refuse {
  return (field, expected, found) => {
    throw typeError(
      "TOKENIZER_UNSUPPORTED",
      `Cannot use ${file}: expected ${field} to be ${expected} but found ${shown(found)}`,
    );
  };
}

/**
 * Checks the fields from which a tokenizer is created.
 *
 * @throws {TypeError} naming the file, the field and its value.
 */
export function checkTokenizerJson(json: unknown, refuse: Refuse): void {
  if (!isObject(json)) return refuse("its content", "an object with a model", json);
  if (!isObject(json["model"])) return refuse("model", "an object with a vocabulary", json["model"]);
  checkModel(json["model"], refuse);
  checkAddedTokens(json["added_tokens"], refuse);
  checkPart("normalizer", "normalizers", json["normalizer"], refuse);
  checkPart("pre_tokenizer", "pretokenizers", json["pre_tokenizer"], refuse);
  checkPart("post_processor", "processors", json["post_processor"], refuse);
  checkPart("decoder", "decoders", json["decoder"], refuse);
}

/** Files from before 2021 have no type; their vocabulary is then a record. */
const MODEL_TYPES: readonly unknown[] = ["BPE", "WordPiece", "WordLevel", "Unigram", undefined];

function checkModel(model: Fields, refuse: Refuse): void {
  const { type, vocab } = model;
  if (!MODEL_TYPES.includes(type)) {
    refuse("model.type", 'one of "BPE", "WordPiece", "WordLevel", "Unigram"', type);
  }
  if (type === "Unigram" || (type === undefined && Array.isArray(vocab))) return checkUnigram(model, refuse);
  if (!isObject(vocab)) return refuse("model.vocab", "a record of tokens and their ids", vocab);
  checkIds(vocab, refuse);
  if (type === "BPE") checkMerges(model, vocab, refuse);
}

/** Checks tokens with their ids: each a distinct integer. */
function checkIds(vocab: Fields, refuse: Refuse): void {
  const owners = new Map<number, string>();
  for (const [token, id] of Object.entries(vocab)) {
    const field = `model.vocab[${JSON.stringify(token)}]`;
    if (!isId(id)) return refuse(field, `a token id below ${MOST.vocabulary}`, id);
    const owner = owners.get(id);
    if (owner !== undefined) refuse(field, `another id than that of ${JSON.stringify(owner)}`, id);
    owners.set(id, token);
  }
  if (owners.size === 0) refuse("model.vocab", "a record of at least one token", vocab);
}

/** Tokens with their scores, in the order of their ids. */
function checkUnigram({ vocab, unk_id: unk }: Fields, refuse: Refuse): void {
  if (!Array.isArray(vocab) || vocab.length === 0) {
    return refuse("model.vocab", "a list of tokens and their scores", vocab);
  }
  vocab.forEach((entry, i) => {
    const isEntry = Array.isArray(entry) && typeof entry[0] === "string" && typeof entry[1] === "number";
    if (!isEntry) refuse(`model.vocab[${i}]`, "a token and its score", entry);
  });
  if (unk !== undefined && unk !== null && !(isId(unk) && unk < vocab.length)) {
    refuse("model.unk_id", `an id of the ${vocab.length} in model.vocab`, unk);
  }
}

/** Pairs of tokens that join to a token, as `"a b"` or `["a", "b"]`. */
function checkMerges(
  { merges, continuing_subword_prefix: prefix }: Fields,
  vocab: Fields,
  refuse: Refuse,
): void {
  if (!Array.isArray(merges)) return refuse("model.merges", "a list of pairs of tokens", merges);
  const hidden = typeof prefix === "string" ? prefix.length : 0; // of the second token of a pair
  merges.forEach((merge: unknown, i) => {
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    const isPair = Array.isArray(pair) && pair.length === 2 &&
      pair.every((token) => typeof token === "string" && token !== "");
    if (!isPair || (typeof merge === "string") !== (typeof merges[0] === "string")) {
      return refuse(`model.merges[${i}]`, "a pair of tokens", merge);
    }
    const [left, right] = pair as [string, string];
    const missing = [left, right, left + right.slice(hidden)].find((token) => !Object.hasOwn(vocab, token));
    if (missing !== undefined) {
      refuse(
        `model.merges[${i}]`,
        `of tokens in model.vocab, which has no ${JSON.stringify(missing)},`,
        merge,
      );
    }
  });
}

function checkAddedTokens(added: unknown, refuse: Refuse): void {
  if (added === undefined || added === null) return;
  if (!Array.isArray(added)) return refuse("added_tokens", "a list of tokens", added);
  added.forEach((token: unknown, i) => {
    if (!isObject(token)) return refuse(`added_tokens[${i}]`, "a token", token);
    if (!isId(token["id"])) {
      refuse(`added_tokens[${i}].id`, `a token id below ${MOST.vocabulary}`, token["id"]);
    }
    if (typeof token["content"] !== "string" || token["content"] === "") {
      refuse(`added_tokens[${i}].content`, "the token's text", token["content"]);
    }
  });
}

/**
 * Checks a processing step between text and tokens, or a sequence of steps; whether its type is known is
 * checked where it is created.
 */
function checkPart(field: string, list: string, part: unknown, refuse: Refuse): void {
  if (part === undefined || part === null) return;
  if (!isObject(part) || typeof part["type"] !== "string") {
    return refuse(field, "null or an object with a type", part);
  }
  if (part["type"] === "TemplateProcessing") {
    checkTemplate(`${field}.single`, part["single"], refuse);
    if (part["pair"] !== undefined && part["pair"] !== null) {
      checkTemplate(`${field}.pair`, part["pair"], refuse);
    }
  }
  if (part["type"] !== "Sequence") return;
  const steps = part[list];
  if (!Array.isArray(steps)) return refuse(`${field}.${list}`, "a list", steps);
  steps.forEach((step, i) => checkPart(`${field}.${list}[${i}]`, list, step, refuse));
}

function checkTemplate(field: string, pieces: unknown, refuse: Refuse): void {
  if (!Array.isArray(pieces)) return refuse(field, "a list of special tokens and texts", pieces);
  pieces.forEach((piece: unknown, i) => {
    const { SpecialToken: special, Sequence: text } = (isObject(piece) ? piece : {}) as Fields;
    const known = isObject(special)
      ? typeof special["id"] === "string"
      : isObject(text) && (text["id"] === "A" || text["id"] === "B");
    if (!known) refuse(`${field}[${i}]`, "a SpecialToken with an id, or the Sequence A or B", piece);
  });
}

function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < MOST.vocabulary;
}

/** A value on one line: JSON, truncated if long. */
function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`;
}

/**
 * Text normalizers of tokenizer.json as functions. Most come from `@huggingface/tokenizers`; four are our
 * own, because the library's results differ from those of the Rust tokenizers that models were trained with:
 *
 * - `BertNormalizer`: the library sees UTF-16 units, so it adds no spaces around Han characters above U+FFFF.
 * - `Lowercase` (and BERT's): a final Σ becomes σ in Rust, which looks at one character at a time, and ς in
 *   JavaScript.
 * - `Strip`: JavaScript's `trim` treats U+FEFF as white space but not U+0085.
 * - `Precompiled` (SentencePiece's map, T5): the library assumes NFKC; here the file's map is used.
 */
import {
  NFCNormalizer,
  NFDNormalizer,
  NFKCNormalizer,
  NFKDNormalizer,
  Normalizer,
  PrependNormalizer,
  ReplaceNormalizer,
  StripAccentsNormalizer,
} from "@huggingface/tokenizers";
import type { Part } from "./tokenizer_split.ts";
import { CONTROL, NONSPACING_MARK } from "./unicode_eight.ts";
import { syntaxError, typeError } from "../errors/error.ts";

/** A function from text to text. */
export type Normalize = (text: string) => string;

/** A normalizer for the library from any function. */
export class FunctionNormalizer extends Normalizer {
  readonly #normalize: Normalize;

  /** Wraps the function. */
  constructor(normalize: Normalize) {
    super({ type: "NFC" });
    this.#normalize = normalize;
  }

  /** Applies the function. */
  override normalize(text: string): string {
    return this.#normalize(text);
  }
}

/**
 * The function for a normalizer entry of tokenizer.json; without one, the identity.
 *
 * @throws {TypeError} when the type is not known.
 */
export function normalizer(part: Part | null | undefined): Normalize {
  if (part === null || part === undefined) return (text) => text;
  switch (part.type) {
    case "Sequence": {
      const steps = ((part["normalizers"] ?? []) as readonly Part[]).map(normalizer);
      return (text) => steps.reduce((t, step) => step(t), text);
    }
    case "BertNormalizer":
      return bert(part);
    case "Lowercase":
      return lowercase;
    case "Strip":
      return (text) => {
        const left = part["strip_left"] === true ? text.replace(/^\p{White_Space}+/u, "") : text;
        return part["strip_right"] === true ? left.replace(/\p{White_Space}+$/u, "") : left;
      };
    case "Precompiled":
      return precompiled(part["precompiled_charsmap"] as string);
    case "NFC":
      return library(new NFCNormalizer(part as never));
    case "NFD":
      return library(new NFDNormalizer(part as never));
    case "NFKC":
      return library(new NFKCNormalizer(part as never));
    case "NFKD":
      return library(new NFKDNormalizer(part as never));
    case "Replace":
      return library(new ReplaceNormalizer(part as never));
    case "Prepend":
      return library(new PrependNormalizer(part as never));
    case "StripAccents":
      return library(new StripAccentsNormalizer(part as never));
    default:
      throw typeError(
        "TOKENIZER_UNSUPPORTED",
        `Expected a known normalizer in tokenizer.json but found "${part.type}"`,
      );
  }
}

const library = (part: Normalizer): Normalize => (text) => part.normalize(text);

const lowercase: Normalize = (text) => Array.from(text, (c) => c.toLowerCase()).join("");

/**
 * BERT's clean-up: removes control characters, maps white space to spaces, separates Han characters, removes
 * accents, lower-cases.
 */
function bert(part: Part): Normalize {
  const lower = part["lowercase"] !== false;
  const [control, mark] = [new RegExp(CONTROL, "gu"), new RegExp(NONSPACING_MARK, "gu")];
  const strip = typeof part["strip_accents"] === "boolean" ? part["strip_accents"] : lower;
  return (text) => {
    let result = text;
    if (part["clean_text"] !== false) {
      result = result.replace(control, "")
        .replace(/\p{White_Space}/gu, " ");
    }
    if (part["handle_chinese_chars"] !== false) result = result.replace(HAN, " $& ");
    if (strip) result = result.normalize("NFD").replace(mark, "");
    return lower ? lowercase(result) : result;
  };
}

// The blocks that BERT's code calls Chinese characters.
const HAN =
  /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;

/**
 * SentencePiece's precompiled map: the byte length of a double-array trie (u32), the trie's units (u32 each),
 * and the replacements, each ended by a zero byte. As in the Rust tokenizers, a grapheme of fewer than six
 * bytes is looked up as a whole, otherwise its characters one by one, and of several keys that are prefixes
 * of the text the shortest wins.
 */
function precompiled(base64: string): Normalize {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const units = bytes.length < 4 ? 0 : view.getUint32(0, true);
  if (units % 4 !== 0 || units + 4 > bytes.length) {
    throw syntaxError(
      "TOKENIZER_UNSUPPORTED",
      "Expected precompiled_charsmap to hold a trie and its strings but found too few bytes",
    );
  }
  const unit = (i: number): number => 4 * i < units ? view.getUint32(4 + 4 * i, true) : 0;
  const offset = (u: number): number => (u >>> 10) << ((u & 0x200) >>> 6);
  const strings = bytes.subarray(4 + units);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const lookUp = (key: Uint8Array): string | undefined => {
    let node = offset(unit(0));
    for (const byte of key) {
      if (byte === 0) return undefined;
      node ^= byte;
      const u = unit(node);
      if ((u & 0x800000FF) >>> 0 !== byte) return undefined;
      node ^= offset(u);
      if (((u >>> 8) & 1) === 1) {
        const start = unit(node) & 0x7FFFFFFF;
        return decoder.decode(strings.subarray(start, strings.indexOf(0, start)));
      }
    }
    return undefined;
  };
  const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
  return (text) => {
    const pieces: string[] = [];
    for (const { segment } of graphemes.segment(text)) {
      const key = encoder.encode(segment);
      const whole = key.length < 6 ? lookUp(key) : undefined;
      if (whole !== undefined) pieces.push(whole);
      else for (const c of segment) pieces.push(lookUp(encoder.encode(c)) ?? c);
    }
    return pieces.join("");
  };
}

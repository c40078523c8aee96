/**
 * Pre-tokenizers of tokenizer.json, rewritten in terms that `@huggingface/tokenizers` handles correctly. Its
 * `Split` turns a pattern's `\s`, `\w` and `\d` into the Unicode classes that the Rust tokenizers use, but
 * its other pre-tokenizers use JavaScript's: there U+FEFF is white space and U+0085 is not, a digit or letter
 * is ASCII only, and every punctuation run is one piece. So all of them are rewritten as `Split` here. The
 * library also lacks the `MergedWith…` behaviours, does not split in `Metaspace`, and treats an old file's
 * `add_prefix_space: false` as true.
 */

import { PUNCTUATION } from "./unicode_eight.ts";

/** An entry of tokenizer.json: a type and its fields. */
export interface Part {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** GPT-2's pattern, with which the byte-level pre-tokenizer splits. */
export const GPT2_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** The split pattern of Llama 3, Qwen2 and similar, parametrized by the digits that stay together. */
export function lettersOrDigits(digits: string): string {
  return "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" + digits +
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
}

const ANY = "[\\s\\S]";

/** A `Split` whose pieces are the matches and the text between them. */
export function split(pattern: string): Part {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

/** A `Split` whose pieces are the matches only. */
function matches(pattern: string): Part {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Removed", invert: true };
}

/**
 * The same pre-tokenizer in parts that the library handles correctly; parts that it handles correctly, or
 * does not know, are unchanged.
 */
export function preTokenizer(part: Part | null | undefined): Part | null {
  if (part === null || part === undefined) return null;
  switch (part.type) {
    case "Sequence":
      return sequence(((part["pretokenizers"] ?? []) as readonly Part[]).map(preTokenizer));
    case "ByteLevel": {
      if (part["use_regex"] === false) return part;
      const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
      // Adds a space before a text that does not start with one; by a pattern, since the library's ByteLevel
      // would add it after the split.
      const space = { type: "Replace", pattern: { Regex: "\\A(?! )" }, content: " " };
      return sequence([...(part["add_prefix_space"] === true ? [space] : []), split(GPT2_PATTERN), bytes]);
    }
    case "Split":
      return behave(source(part["pattern"]), String(part["behavior"]), part["invert"] === true);
    case "Punctuation":
      return behave(PUNCTUATION, String(part["behavior"] ?? "Isolated"), false);
    case "Digits":
      return split(part["individual_digits"] === true ? "\\p{N}" : "\\p{N}+");
    case "Whitespace":
      return matches("\\w+|[^\\w\\s]+");
    case "WhitespaceSplit":
      return matches("\\S+");
    case "BertPreTokenizer":
      return matches(`(?:(?!\\s|${PUNCTUATION})${ANY})+|${PUNCTUATION}`);
    case "Metaspace": {
      const replacement = String(part["replacement"] ?? "▁");
      const scheme = part["prepend_scheme"] ?? (part["add_prefix_space"] === false ? "never" : "always");
      const spaces = { ...part, replacement, prepend_scheme: scheme };
      return part["split"] === false
        ? spaces
        : sequence([spaces, behave(escape(replacement), "MergedWithNext", false)]);
    }
    default:
      return part;
  }
}

function sequence(parts: readonly (Part | null)[]): Part {
  return { type: "Sequence", pretokenizers: parts };
}

/** A split pattern with one of the Rust tokenizers' five behaviours, as an `Isolated` or `Removed` one. */
function behave(pattern: string, behavior: string, invert: boolean): Part {
  switch (behavior.toLowerCase()) {
    case "removed":
      return invert ? matches(pattern) : matches(`(?:(?!${pattern})${ANY})+`);
    case "contiguous":
      return split(`(?:${pattern})+`);
    case "mergedwithprevious":
      return split(`(?:(?!${pattern})${ANY})*(?:${pattern})`);
    case "mergedwithnext":
      return split(`(?:${pattern})(?:(?!${pattern})${ANY})*`);
    default:
      return split(pattern);
  }
}

function source(pattern: unknown): string {
  const { Regex, String: text } = (pattern ?? {}) as { readonly Regex?: string; readonly String?: string };
  return Regex ?? escape(text ?? "");
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/**
 * Byte-level byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909, on bytes as in GPT-2): the trainer.
 * Texts are split into words, words into bytes; then the most frequent adjacent pair becomes a new token,
 * until the vocabulary is full. Ties are broken by the smaller pair of ids, as in Hugging Face's trainer, so
 * both give the same tokens.
 */
import { MaxHeap } from "./heap.ts";
import { rangeError } from "../errors/error.ts";

/** Options of training. */
export interface BpeOptions {
  /** Total number of tokens: special tokens, 256 bytes, merges. */
  readonly vocabulary: number;
  /** Tokens that never result from text; they get the first ids. */
  readonly special: readonly string[];
  /** "single" makes every digit a separate word, so numbers are spelled; "grouped" is as in GPT-2. */
  readonly digits: "single" | "grouped";
  /** Minimum frequency of a pair to become a token; default 2. */
  readonly minFrequency?: number;
}

/** The parts of Hugging Face's tokenizer.json used by a byte-level BPE. */
export interface TokenizerJson {
  readonly version: "1.0";
  readonly truncation: null;
  readonly padding: null;
  readonly added_tokens: readonly AddedToken[];
  readonly normalizer: null;
  readonly pre_tokenizer: ByteLevel | {
    readonly type: "Sequence";
    readonly pretokenizers: readonly unknown[];
  };
  readonly post_processor: null;
  readonly decoder: ByteLevel;
  readonly model: {
    readonly type: "BPE";
    readonly dropout: null;
    readonly unk_token: null;
    readonly continuing_subword_prefix: null;
    readonly end_of_word_suffix: null;
    readonly fuse_unk: false;
    readonly byte_fallback: false;
    readonly ignore_merges: false;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (readonly [string, string])[];
  };
}

/** A special token. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: false;
  readonly lstrip: false;
  readonly rstrip: false;
  readonly normalized: false;
  readonly special: true;
}

/** Mapping of bytes to letters, and GPT-2's word pattern. */
export interface ByteLevel {
  readonly type: "ByteLevel";
  /** Whether a text starts as if after a space; a decoder ignores it and Hugging Face writes true there. */
  readonly add_prefix_space: boolean;
  readonly trim_offsets: true;
  readonly use_regex: true;
}

const BYTE_LEVEL: ByteLevel = {
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: true,
};

// \p{White_Space} instead of \s: JavaScript's \s also holds U+FEFF and lacks U+0085, Rust's is the Unicode property.
const SPACE = "\\p{White_Space}";
const WORD = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${SPACE}\\p{L}\\p{N}]+|${SPACE}+(?!\\P{White_Space})|${SPACE}+`,
  "gu",
);

/**
 * GPT-2's letter for each byte: printable Latin-1 is mapped to itself, the rest to the letters from U+0100
 * on. The index is the byte.
 */
export function byteLetters(): readonly string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    return String.fromCharCode(printable ? byte : next++);
  });
}

/** The words of a text, with leading spaces. */
export function words(text: string, digits: BpeOptions["digits"]): readonly string[] {
  const pieces = digits === "single" ? text.match(/\p{N}|\P{N}+/gu) ?? [] : [text];
  return pieces.flatMap((piece) => piece.match(WORD) ?? []);
}

/**
 * Trains a tokenizer. Deterministic and independent of the order of texts.
 *
 * @param texts Read once.
 * @returns The content of tokenizer.json.
 * @throws {RangeError} when the vocabulary is too small for the special tokens and the bytes.
 */
export function trainBpe(texts: Iterable<string>, options: BpeOptions): TokenizerJson {
  const { vocabulary, special, digits, minFrequency = 2 } = options;
  if (!Number.isInteger(vocabulary) || vocabulary < special.length + 256) {
    throw rangeError(
      "DATA_INVALID",
      `Expected the vocabulary to be at least ${
        special.length + 256
      } (special tokens and bytes) but found ${vocabulary}`,
    );
  }
  const letters = byteLetters();
  const tokens = [...special, ...[...letters].sort()];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const byteIds = letters.map((letter) => ids.get(letter)!);

  const counts = countWords(texts, digits);
  const encoder = new TextEncoder();
  const spelled = [...counts.keys()].map((word) => [...encoder.encode(word)].map((byte) => byteIds[byte]!));
  const frequency = [...counts.values()];

  const merges: (readonly [string, string])[] = [];
  const pairs = new Pairs(spelled, frequency);
  while (tokens.length < vocabulary) {
    const best = pairs.pop();
    if (best === undefined || best.count < Math.max(1, minFrequency)) break;
    const { left, right } = best;
    const token = tokens[left]! + tokens[right]!;
    const known = ids.get(token);
    const id = known ?? tokens.length;
    if (known === undefined) {
      tokens.push(token);
      ids.set(token, id);
    }
    merges.push([tokens[left]!, tokens[right]!]);
    pairs.merge(left, right, id);
  }
  return tokenizerJson(tokens, special, merges, digits);
}

function countWords(texts: Iterable<string>, digits: BpeOptions["digits"]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of words(text, digits)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

/** Adjacent pairs in the spelled words: how often each pair occurs, where, and which is the most frequent. */
class Pairs {
  readonly #counts = new Map<number, number>();
  readonly #holders = new Map<number, Set<number>>();
  readonly #heap = new MaxHeap();

  private readonly spelled: number[][];
  private readonly frequency: readonly number[];

  constructor(spelled: number[][], frequency: readonly number[]) {
    [this.spelled, this.frequency] = [spelled, frequency];
    for (let i = 0; i < spelled.length; i++) this.#tally(i, 1);
    for (const [pair, count] of this.#counts) this.#heap.push(count, pair);
  }

  /**
   * The most frequent pair, removed. Heap entries may be stale: a stale one is reinserted with its current
   * count.
   */
  pop(): { readonly left: number; readonly right: number; readonly count: number } | undefined {
    for (let top = this.#heap.pop(); top !== undefined; top = this.#heap.pop()) {
      const count = this.#counts.get(top.item) ?? 0;
      if (count === top.priority) return { left: Math.floor(top.item / SIDE), right: top.item % SIDE, count };
      if (count > 0) this.#heap.push(count, top.item);
    }
    return undefined;
  }

  /** Replaces the pair by a token in all words. */
  merge(left: number, right: number, id: number): void {
    const pair = left * SIDE + right;
    const grown = new Set<number>();
    for (const i of this.#holders.get(pair) ?? []) {
      this.#tally(i, -1);
      this.spelled[i] = join(this.spelled[i]!, left, right, id);
      this.#tally(i, 1, grown);
    }
    this.#counts.delete(pair);
    this.#holders.delete(pair);
    for (const other of grown) this.#heap.push(this.#counts.get(other)!, other);
  }

  #tally(i: number, sign: 1 | -1, grown?: Set<number>): void {
    const word = this.spelled[i]!;
    for (let j = 0; j + 1 < word.length; j++) {
      const pair = word[j]! * SIDE + word[j + 1]!;
      this.#counts.set(pair, (this.#counts.get(pair) ?? 0) + sign * this.frequency[i]!);
      if (sign < 0) continue;
      const holders = this.#holders.get(pair);
      if (holders?.has(i)) continue;
      if (holders === undefined) this.#holders.set(pair, new Set([i]));
      else holders.add(i);
      grown?.add(pair);
    }
  }
}

/** A pair is one number, left · SIDE + right, so that pairs are ordered like numbers. */
const SIDE = 2 ** 24;

function join(word: readonly number[], left: number, right: number, id: number): number[] {
  const joined: number[] = [];
  for (let i = 0; i < word.length; i++) {
    if (word[i] === left && word[i + 1] === right) {
      joined.push(id);
      i++;
    } else joined.push(word[i]!);
  }
  return joined;
}

function tokenizerJson(
  tokens: readonly string[],
  special: readonly string[],
  merges: readonly (readonly [string, string])[],
  digits: BpeOptions["digits"],
): TokenizerJson {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: digits === "single"
      ? { type: "Sequence", pretokenizers: [{ type: "Digits", individual_digits: true }, BYTE_LEVEL] }
      : BYTE_LEVEL,
    post_processor: null,
    decoder: { ...BYTE_LEVEL, add_prefix_space: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

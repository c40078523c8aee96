/**
 * Decoders of tokenizer.json: from tokens back to text. Most steps are those of `@huggingface/tokenizers`;
 * three are our own. The library's `ByteLevel` turns a character outside the byte alphabet into a zero byte
 * and splits the text at every added token, its `ByteFallback` drops a byte-order mark and gives one � for
 * several invalid bytes, and its `Metaspace` removes a space at the front even where none was added.
 */
import {
  BPEDecoder,
  CTCDecoder,
  type Decoder,
  FuseDecoder,
  ReplaceDecoder,
  StripDecoder,
  WordPieceDecoder,
} from "@huggingface/tokenizers";
import type { Part } from "./tokenizer_split.ts";
import { typeError } from "../errors/error.ts";

/** From tokens to pieces of text; the text is the concatenation of the pieces. */
export type Decode = (tokens: readonly string[]) => readonly string[];

/**
 * The function for a decoder entry of tokenizer.json; without one, tokens are separated by spaces.
 *
 * @throws {TypeError} when the type is not known.
 */
export function decoder(part: Part | null | undefined): Decode {
  if (part === null || part === undefined) return (tokens) => [tokens.join(" ")];
  switch (part.type) {
    case "Sequence": {
      const steps = ((part["decoders"] ?? []) as readonly Part[]).map(decoder);
      return (tokens) => steps.reduce((t, step) => step(t), tokens);
    }
    case "ByteLevel":
      return byteLevel;
    case "ByteFallback":
      return byteFallback;
    case "Metaspace":
      return metaspace(part);
    case "Fuse":
      return library(new FuseDecoder(part as never));
    case "Replace":
      return library(new ReplaceDecoder(part as never));
    case "Strip":
      return library(new StripDecoder(part as never));
    case "WordPiece":
      return library(new WordPieceDecoder(part as never));
    case "BPEDecoder":
      return library(new BPEDecoder(part as never));
    case "CTC":
      return library(new CTCDecoder(part as never));
    default:
      throw typeError(
        "TOKENIZER_UNSUPPORTED",
        `Expected a known decoder in tokenizer.json but found "${part.type}"`,
      );
  }
}

const library = (part: Decoder): Decode => (tokens) => part.decode_chain([...tokens]);

const utf8 = (bytes: readonly number[]): string =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));

/**
 * GPT-2's alphabet: the 188 printable bytes represent themselves, the other 68 are U+0100 and up, in byte
 * order.
 */
const BYTE_OF: ReadonlyMap<string, number> = new Map(
  (() => {
    const prints = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    const bytes = Array.from({ length: 256 }, (_, b) => b);
    const others = bytes.filter((b) => !prints(b));
    return bytes.map((b) => [String.fromCodePoint(prints(b) ? b : 256 + others.indexOf(b)), b] as const);
  })(),
);

/** A token with a character outside the alphabet (an added token) is its own text. */
const byteLevel: Decode = (tokens) => {
  const encoder = new TextEncoder();
  const bytes: number[] = [];
  for (const token of tokens) {
    const own = Array.from(token, (c) => BYTE_OF.get(c));
    if (own.includes(undefined)) bytes.push(...encoder.encode(token));
    else bytes.push(...own as number[]);
  }
  return [utf8(bytes)];
};

/** `<0xE2>` tokens are bytes; a run of them that is not UTF-8 gives one � per byte. */
const byteFallback: Decode = (tokens) => {
  const result: string[] = [];
  let run: number[] = [];
  const flush = () => {
    if (run.length === 0) return;
    try {
      result.push(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(run)));
    } catch {
      result.push("\uFFFD".repeat(run.length));
    }
    run = [];
  };
  for (const token of tokens) {
    const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    if (hex !== undefined) run.push(parseInt(hex, 16));
    else {
      flush();
      result.push(token);
    }
  }
  flush();
  return result;
};

/**
 * The replacement becomes a space; in the first token it is dropped if the pre-tokenizer may have added it.
 */
function metaspace(part: Part): Decode {
  const replacement = String(part["replacement"] ?? "▁");
  const added = part["prepend_scheme"] === undefined
    ? part["add_prefix_space"] !== false
    : part["prepend_scheme"] !== "never";
  return (tokens) => tokens.map((t, i) => t.replaceAll(replacement, i === 0 && added ? "" : " "));
}

/**
 * Text to ids by pieces whose ids are remembered. What `@huggingface/tokenizers` does in one go, in steps:
 *
 *     text → sections between added tokens → normalized → pieces, mostly words → ids of each piece
 *
 * The library does the last step for a piece that has not been seen lately, and it alone knows how. Words repeat, so that few
 * pieces are left to it: a text of 400 words takes a tenth of the library's time or less.
 */
import {
  BPE,
  ByteLevelPreTokenizer,
  type PreTokenizer,
  SequencePreTokenizer,
  SplitPreTokenizer,
  type Tokenizer as LibraryTokenizer,
} from "@huggingface/tokenizers";
import type { AddedToken } from "./tokenizer_fields.ts";

/** The ids of a text without special tokens around it. An id that the vocabulary lacks is an error of `lacks`. */
export type PieceEncoder = (text: string) => number[];

/**
 * The encoder of a tokenizer of the library, which has no normalizer's or post-processor's state.
 *
 * @param added The tokens that are found in a text before anything else.
 * @param lacks Called with a piece that the vocabulary cannot express.
 */
export function pieceEncoder(
  library: LibraryTokenizer,
  added: readonly AddedToken[],
  lacks: (piece: string) => never,
): PieceEncoder {
  const sections = sectioned(added);
  const { before, after } = preparation(library);
  const model = library.model!;
  const ids = remembered((piece) => {
    const prepared = after.reduce<string[]>((pieces, part) => part.pre_tokenize(pieces), [piece]);
    return model(prepared).map((token) => library.token_to_id(token) ?? model.unk_token_id ?? lacks(token));
  });
  return (text) => {
    const found: number[] = [];
    sections(text).forEach((section, index) => {
      if (typeof section === "number") return void found.push(section);
      if (section === "") return; // nothing but the white space that an added token took
      const normalized = library.normalizer === null ? section : library.normalizer(section);
      if (normalized === "") return;
      const from = found.length;
      for (const piece of before(normalized, index)) {
        for (const id of ids(piece)) {
          // Several unknown pieces in a row are one unknown token, where the model says so.
          const again = model.fuse_unk && id === model.unk_token_id && found.length > from &&
            found.at(-1) === id;
          if (!again) found.push(id);
        }
      }
    });
    return found;
  };
}

/** A section of a text: what stands between added tokens, or the id of one. */
type Section = string | number;

/** Cuts a text at the added tokens: at each place the longest that stands there. */
function sectioned(added: readonly AddedToken[]): (text: string) => readonly Section[] {
  const byContent = new Map(
    added.filter(({ content }) => content !== "").map((token) => [token.content, token]),
  );
  if (byContent.size === 0) return (text) => text === "" ? [] : [text];
  const byFirst = new Map<string, AddedToken[]>();
  for (const token of byContent.values()) {
    const first = token.content[0]!;
    byFirst.set(first, [...byFirst.get(first) ?? [], token]);
  }
  for (const tokens of byFirst.values()) tokens.sort((a, b) => b.content.length - a.content.length);
  const firsts = [...byFirst.keys()].map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const candidates = new RegExp(`[${firsts.join("")}]`, "g");
  return (text) => {
    const found: Section[] = [];
    let [start, isStripped] = [0, false];
    const between = (end: number, strip: boolean): void => {
      if (end === start) return;
      const plain = text.slice(start, end);
      const opened = isStripped ? plain.trimStart() : plain;
      found.push(strip ? opened.trimEnd() : opened);
    };
    candidates.lastIndex = 0;
    for (let at = candidates.exec(text); at !== null; at = candidates.exec(text)) {
      const token = byFirst.get(at[0])!.find(({ content }) => text.startsWith(content, at!.index));
      if (token === undefined) continue;
      between(at.index, token.lstrip === true);
      found.push(token.id);
      start = candidates.lastIndex = at.index + token.content.length;
      isStripped = token.rstrip === true;
    }
    between(text.length, false);
    return found;
  };
}

/** How a section becomes pieces, and what is left to do with each of them alone. */
interface Preparation {
  readonly before: (section: string, index: number) => readonly string[];
  readonly after: readonly PreTokenizer[];
}

function preparation(library: LibraryTokenizer): Preparation {
  const parts = partsOf(library.pre_tokenizer);
  const cutting = parts.findLastIndex((part) => !(part instanceof ByteLevelPreTokenizer)) + 1;
  const [cuts, after] = [parts.slice(0, cutting), parts.slice(cutting)];
  if (parts.length === 0 && library.model instanceof BPE && keepsWordsApart(library.model)) {
    return { before: (section) => section.match(WORDS) ?? [], after };
  }
  return {
    before: (section, index) =>
      cuts.reduce<string[]>(
        (pieces, part) =>
          part instanceof SplitPreTokenizer
            ? pieces.length === 1
              ? splitBy(part, pieces[0]!)
              : pieces.flatMap((piece) => splitBy(part, piece))
            : part.pre_tokenize(pieces, { section_index: index }),
        [section],
      ),
    after,
  };
}

/** The parts of a pre-tokenizer in their order. */
function partsOf(part: PreTokenizer | null): readonly PreTokenizer[] {
  if (part === null) return [];
  return part instanceof SequencePreTokenizer ? part.tokenizers.flatMap(partsOf) : [part];
}

/** Matches, and the text between them unless the split says otherwise; where matches cover all of the text, as fast as may be. */
function splitBy(part: SplitPreTokenizer, text: string): string[] {
  if (part.pattern === null || part.config.invert) return part.pre_tokenize_text(text);
  const found = text.match(part.pattern);
  if (found === null) return [text];
  let covered = 0;
  for (const { length } of found) {
    if (length === 0) return part.pre_tokenize_text(text);
    covered += length;
  }
  return covered === text.length ? found : part.pre_tokenize_text(text);
}

/** SentencePiece's mark of a space. A word is the spaces before it and what follows them. */
const WORDS = /▁*[^▁]+|▁+/gu;

/** Whether no merge joins the end of a word to the space after it, so that words can be encoded one by one. */
const keepsWordsApart = ({ merges, ignore_merges: whole }: BPE): boolean =>
  !whole && merges.every(([left, right]) => !/[^▁]▁/u.test(left! + right!));

/** Pieces that are remembered: at most twice as many of at most as many UTF-16 units. */
const [MOST_PIECES, LONGEST] = [1 << 16, 64] as const;

/** The same function, whose results for the pieces that were asked for lately are kept. */
function remembered(idsOf: (piece: string) => readonly number[]): (piece: string) => readonly number[] {
  let [young, old] = [new Map<string, readonly number[]>(), new Map<string, readonly number[]>()];
  return (piece) => {
    const known = young.get(piece);
    if (known !== undefined) return known;
    const ids = old.get(piece) ?? idsOf(piece);
    if (piece.length > LONGEST) return ids;
    if (young.size === MOST_PIECES) [young, old] = [new Map(), young];
    // A part of a text may hold on to all of it; this is a text of its own.
    young.set(piece.split("").join(""), ids);
    return ids;
  };
}

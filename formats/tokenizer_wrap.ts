/**
 * The special tokens that a checkpoint adds around one text or a pair: [CLS] A [SEP] B [SEP]. From the
 * post-processor of tokenizer.json, on ids, so that a pair can be shortened before it is wrapped, as in
 * Hugging Face tokenizers.
 */
import type { Part } from "./tokenizer_split.ts";
import { typeError } from "../errors/error.ts";

/** Ids with the index of the text that each belongs to, for models with token types. */
export interface Wrapped {
  /** Token ids. */
  readonly ids: readonly number[];
  /** 0 in the first text, 1 in the second. */
  readonly typeIds: readonly number[];
}

/** Wraps a text's ids, or two. */
export type Wrap = (first: readonly number[], second?: readonly number[]) => Wrapped;

/** A special token, or one of the texts, with its type. */
type Piece = { readonly token: string; readonly type: number } | {
  readonly text: "A" | "B";
  readonly type: number;
};

interface Templates {
  readonly single: readonly Piece[];
  readonly pair: readonly Piece[];
}

/** Without a post-processor only the second text has type 1. */
const BARE: Templates = {
  single: [{ text: "A", type: 0 }],
  pair: [{ text: "A", type: 0 }, { text: "B", type: 1 }],
};

/**
 * The function of a post-processor.
 *
 * @throws {TypeError} when the post-processor is not known, or names a token that the vocabulary does not have.
 */
export function wrapper(part: Part | null, idOf: (token: string) => number | undefined): Wrap {
  const { single, pair } = templatesOf(part) ?? BARE;
  return (first, second) => {
    const pieces = (second === undefined ? single : pair).map((piece) => {
      if ("text" in piece) return { ids: piece.text === "A" ? first : second ?? [], type: piece.type };
      const id = idOf(piece.token);
      if (id === undefined) {
        throw typeError(
          "TOKENIZER_UNSUPPORTED",
          `Expected the token "${piece.token}" of the post-processor in the vocabulary`,
        );
      }
      return { ids: [id], type: piece.type };
    });
    return {
      ids: pieces.flatMap(({ ids }) => ids),
      typeIds: pieces.flatMap(({ ids, type }) => ids.map(() => type)),
    };
  };
}

/** Undefined for parts that add nothing around a text. */
function templatesOf(part: Part | null): Templates | undefined {
  switch (part?.type) {
    case undefined:
    case "ByteLevel":
      return undefined;
    case "Sequence":
      return (part!["processors"] as readonly Part[]).map(templatesOf).findLast((t) => t !== undefined);
    case "TemplateProcessing":
      return {
        single: (part!["single"] as readonly Json[]).map(piece),
        pair: (part!["pair"] as readonly Json[] ?? []).map(piece),
      };
    case "BertProcessing": {
      const [cls, sep] = [named(part!["cls"]), named(part!["sep"])];
      const single: readonly Piece[] = [{ token: cls, type: 0 }, { text: "A", type: 0 }, {
        token: sep,
        type: 0,
      }];
      return { single, pair: [...single, { text: "B", type: 1 }, { token: sep, type: 1 }] };
    }
    case "RobertaProcessing": {
      const [cls, sep] = [named(part!["cls"]), named(part!["sep"])];
      const single: readonly Piece[] = [{ token: cls, type: 0 }, { text: "A", type: 0 }, {
        token: sep,
        type: 0,
      }];
      return {
        single,
        pair: [...single, { token: sep, type: 0 }, { text: "B", type: 0 }, { token: sep, type: 0 }],
      };
    }
    default:
      throw typeError(
        "TOKENIZER_UNSUPPORTED",
        `Expected a known post-processor but found ${JSON.stringify(part!.type)}`,
      );
  }
}

interface Json {
  readonly SpecialToken?: { readonly id: string; readonly type_id: number };
  readonly Sequence?: { readonly id: "A" | "B"; readonly type_id: number };
}

function piece({ SpecialToken, Sequence }: Json): Piece {
  return SpecialToken
    ? { token: SpecialToken.id, type: SpecialToken.type_id }
    : { text: Sequence!.id, type: Sequence!.type_id };
}

/** Files write `["[CLS]", 101]`. */
const named = (field: unknown): string => (field as readonly [string, number])[0];

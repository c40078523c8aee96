/** What the embedded model reads, as tokens: texts of the curriculum, and strings of random tokens that come again. */
import { fold, type Key } from "../tensor/key.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import type { Rows } from "../train/mod.ts";
import { chance } from "./conversations/grammar.ts";
import { trainingText } from "./curriculum.ts";
import { type LabelledTokens, repeats } from "./repeats.ts";
import { SPECIAL } from "./tokenizer.ts";

/** Which rows. */
export interface RowOptions {
  readonly key: Key;
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
  /** The most tokens of a row; a longer text is cut. */
  readonly length: number;
  /** The share of rows that are strings of random tokens. */
  readonly repeated: number;
  /** The share of texts of which the assistant's answers alone are predicted, where there are any. */
  readonly answersAlone: number;
}

/** Rows of texts, each of which ends with the end token, and of repeats. They are made anew each time. */
export function pretrainingRows(tokenizer: Tokenizer, options: RowOptions): Rows {
  const { key, from, to, length, repeated, answersAlone } = options;
  const row = (index: number): LabelledTokens => {
    const own = fold(fold(key, "row"), index);
    if (chance(fold(own, "repeated"), repeated)) {
      return repeats(own, { from: SPECIAL.length, to: tokenizer.vocabSize }, length);
    }
    const inputIds = [...tokenizer.encode(trainingText(key, index)), tokenizer.eos!].slice(0, length);
    return {
      inputIds,
      labels: chance(fold(own, "answers"), answersAlone) ? answersOf(inputIds, tokenizer) : inputIds,
    };
  };
  const sizes = Array.from({ length: to - from }, (_, n) => {
    const { inputIds, labels } = row(from + n);
    return [inputIds.length, labels.filter((label, i) => i > 0 && label !== -100).length] as const;
  });
  return {
    count: to - from,
    lengths: sizes.map(([tokens]) => tokens),
    targets: sizes.map(([, targets]) => targets),
    tokens: (n) => row(from + n),
  };
}

/** Labels of what follows an assistant's mark, up to the next user's; without any, every token. */
function answersOf(ids: readonly number[], tokenizer: Tokenizer): readonly number[] {
  const [user, assistant] = ["<|user|>", "<|assistant|>"].map((mark) => tokenizer.encode(mark)[0]);
  let answering = false;
  const labels = ids.map((id) => {
    const label = answering ? id : -100;
    if (id === user) answering = false;
    if (id === assistant) answering = true;
    return label;
  });
  return labels.some((label) => label !== -100) ? labels : ids;
}

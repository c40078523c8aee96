/** The first row of a run, shown as it will be trained. */
import type { Tokenizer } from "../../formats/tokenizer.ts";
import type { Data } from "../data.ts";
import { note } from "../terminal/output.ts";
import { markingOf, trainedText } from "../terminal/trained_text.ts";

/** Says it; of labelled texts, which have no tokens that are trained, nothing. */
export function noteFirstRow({ train, shown }: Pick<Data, "train" | "shown">, tokenizer: Tokenizer): void {
  if (!shown || train.count === 0) return;
  const marking = markingOf(2);
  const how = marking === "colour" ? "in colour" : "underlined";
  note(`The first row, what is trained ${how}:`);
  note(trainedText(train.tokens(0), (ids) => tokenizer.decode(ids), marking));
}

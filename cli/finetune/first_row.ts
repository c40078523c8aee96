/** The first row of a run, shown as it will be trained. */
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { batchOf, type Tokens } from "../../train/mod.ts";
import type { Data } from "../data.ts";
import { note } from "../terminal/output.ts";
import { markingOf, trainedText } from "../terminal/trained_text.ts";

/** Says it; of pairs both answers; of labelled texts, which have no tokens that are trained, nothing. */
export function noteFirstRow({ train, shown }: Pick<Data, "train" | "shown">, tokenizer: Tokenizer): void {
  if (shown === "nothing" || train.count === 0) return;
  const marking = markingOf(2);
  const how = marking === "colour" ? "in colour" : "underlined";
  const say = (name: string, tokens: Tokens): void => {
    note(`${name}, what is trained ${how}:`);
    note(trainedText(tokens, (ids) => tokenizer.decode(ids), marking));
  };
  if (shown === "rows") return say("The first row", train.tokens(0));
  const [chosen, rejected] = textsOf(train);
  say("The first pair: chosen", chosen!);
  say("Rejected", rejected!);
}

/** The texts of the first row's batch, without padding. */
function textsOf(rows: Data["train"]): readonly Tokens[] {
  const batch = batchOf(rows, { rows: [[0]], targets: 1 }, {
    batching: { kind: "buckets", batchSize: 1 },
    pad: 0,
  });
  const labels = batch.labels as readonly (readonly number[])[];
  return batch.inputIds.map((ids, i) => {
    const length = batch.attentionMask![i]!.reduce((sum, one) => sum + one, 0);
    return { inputIds: ids.slice(0, length), labels: labels[i]!.slice(0, length) };
  });
}

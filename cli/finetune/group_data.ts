/** Pairs and triplets of texts as the data of a run that trains vectors. */
import type { Model } from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { embeddedIds, embedderOf } from "../../io/sentence_transformers.ts";
import { groupRows, type GroupShape, openGroups } from "../../train/mod.ts";
import { GROUP_TEXTS } from "../../train/groups.ts";
import { type Data, type DataFlags, partsOf, splitOf } from "../data.ts";
import { counter } from "../terminal/counter.ts";
import { note } from "../terminal/output.ts";
import type { ObjectiveFlags } from "./objective_flags.ts";

/** The shapes that each objective takes. */
const SHAPES: Readonly<Record<string, readonly GroupShape[]>> = {
  ranking: ["triplet", "pair"],
  triplet: ["triplet"],
  cosent: ["scored pair"],
};

/** Opens, checks and tokenizes a file of pairs or triplets. Texts stay on disk. */
export async function openGroupData(
  flags: DataFlags & ObjectiveFlags,
  model: Model<Tokenizer>,
  tokenizer: Tokenizer,
  maxLength: number,
): Promise<Data> {
  const groups = await openGroups(flags.data, SHAPES[flags.objective!]!, {
    ...flags.format && { format: flags.format },
    ...flags.fields && { fields: flags.fields },
  });
  const texts = GROUP_TEXTS[groups.shape];
  note(`Reading ${flags.data} as ${groups.shape}: ${texts.join(", ")}`);
  const count = Math.min(groups.count, flags.limit ?? Infinity);
  const shown = counter("Tokenizing", count, "rows");
  try {
    const embedder = embedderOf({ ...model, tokenizer }, { maxLength });
    const rows = groupRows(
      { count, group: (n) => groups.group(n) },
      (text) => embeddedIds(embedder, text),
      { encoded: shown.at },
    );
    return {
      ...await partsOf(flags, rows, maxLength, splitOf(flags, count)),
      shown: "nothing",
      groups: texts.length,
      [Symbol.dispose]: () => groups[Symbol.dispose](),
    };
  } catch (error) {
    groups[Symbol.dispose]();
    throw error;
  } finally {
    shown.stop();
  }
}

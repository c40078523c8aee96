/** Pairs and triplets of texts as the data of a run that trains vectors. */
import type { Model } from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { embeddedIds, embedderOf } from "../../io/sentence_transformers.ts";
import {
  groupRowsFrom,
  type JsonlRecord,
  readRecords,
  showLocation,
  textField,
  type TokenGroup,
} from "../../train/mod.ts";
import { shapedBy } from "../../train/examples.ts";
import { UsageError } from "../../tuning/usage_error.ts";
import { type Data, type DataFlags, partsOf } from "../data.ts";
import { note } from "../terminal/output.ts";
import type { ObjectiveFlags } from "./objective_flags.ts";

/** The fields of texts by shape. */
const TEXTS = {
  "triplet": ["anchor", "positive", "negative"],
  "pair": ["anchor", "positive"],
  "scored pair": ["sentence1", "sentence2"],
} as const;

/** The shapes that each objective takes. */
const SHAPES: Readonly<Record<string, readonly (keyof typeof TEXTS)[]>> = {
  ranking: ["triplet", "pair"],
  triplet: ["triplet"],
  cosent: ["scored pair"],
};

/** Opens, checks and tokenizes a file of pairs or triplets. */
export async function openGroupData(
  flags: DataFlags & ObjectiveFlags,
  model: Model<Tokenizer>,
  tokenizer: Tokenizer,
  maxLength: number,
): Promise<Data> {
  const wanted = SHAPES[flags.objective!]!;
  const shaped = shapedBy({
    ...flags.format && { format: flags.format },
    ...flags.fields && { fields: flags.fields },
  }, wanted);
  const embedder = embedderOf({ ...model, tokenizer }, { maxLength });
  const groups: TokenGroup[] = [];
  let said: string | undefined;
  for await (const found of readRecords(flags.data)) {
    if (groups.length >= (flags.limit ?? Infinity)) break;
    const { record, shape } = shaped(found);
    const known = wanted.find((one) => one === shape);
    if (known === undefined) {
      throw new UsageError(
        `Expected ${
          wanted.map((one) => [...TEXTS[one], ...one === "scored pair" ? ["score"] : []].join(", ")).join(
            "; or ",
          )
        } in ` +
          `${flags.data} for --objective ${flags.objective} but found ${shape}; rename fields by --fields`,
      );
    }
    said ??= known;
    groups.push({
      texts: TEXTS[known].map((name) => embeddedIds(embedder, textField(record, name))),
      ...known === "scored pair" && { similarity: similarityOf(record) },
    });
  }
  note(`Reading ${flags.data} as ${said}: ${TEXTS[said as keyof typeof TEXTS].join(", ")}`);
  const rows = groupRowsFrom(groups);
  return {
    ...await partsOf(flags, rows, maxLength),
    shown: "nothing",
    groups: groups[0]!.texts.length,
    [Symbol.dispose]: () => {},
  };
}

function similarityOf(record: JsonlRecord): number {
  const value = record.value["score"];
  const score = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof score === "number" && Number.isFinite(score)) return score;
  throw new RangeError(
    `${showLocation(record)}: field "score" must be a number but is ${JSON.stringify(value)}`,
  );
}

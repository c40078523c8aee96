/** Texts that belong together or not, for models that make vectors: pairs, triplets, and pairs with a score. */
import type { ExampleOptions } from "./examples.ts";
import { shapedBy } from "./examples.ts";
import { type JsonlRecord, type Location, locationOf, showLocation, textField } from "./jsonl.ts";
import { checkShape, type RecordShape } from "./record_shapes.ts";
import { openRecords } from "./records/open.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** The shapes of groups. */
export type GroupShape = Extract<RecordShape, "triplet" | "pair" | "scored pair">;

/** The fields of texts by shape, the anchor first. */
export const GROUP_TEXTS: Readonly<Record<GroupShape, readonly string[]>> = {
  "triplet": ["anchor", "positive", "negative"],
  "pair": ["anchor", "positive"],
  "scored pair": ["sentence1", "sentence2"],
};

/** A group: an anchor, what belongs to it, perhaps what does not. */
export interface TextGroup {
  /** The texts in the order of `GROUP_TEXTS`. */
  readonly texts: readonly string[];
  /** How near the two texts of a scored pair are. */
  readonly similarity?: number;
  /** Where it stands. */
  readonly at?: Location;
}

/**
 * The group of one record.
 *
 * @throws {TypeError} when a field is missing or has the wrong type, or the record has another shape.
 * @throws {RangeError} when a text is empty or a score is no finite number.
 * @example
 * ```ts
 * import { groupOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const value = { sentence1: "A cat.", sentence2: "A kitten.", score: 0.9 };
 * const { texts, similarity } = groupOf({ file: "data.jsonl", line: 1, value }, "scored pair");
 * assert.deepEqual([texts, similarity], [["A cat.", "A kitten."], 0.9]);
 * ```
 */
export function groupOf(record: JsonlRecord, shape: GroupShape): TextGroup {
  checkShape(record, shape);
  return {
    texts: GROUP_TEXTS[shape].map((name) => textField(record, name)),
    ...shape === "scored pair" && { similarity: similarityOf(record) },
    at: locationOf(record),
  };
}

/** Open groups. Close them with `using` or `[Symbol.dispose]()`. */
export interface GroupFile extends Disposable {
  /** How many there are. */
  readonly count: number;
  /** What they are. */
  readonly shape: GroupShape;
  /** Group n, from 0. */
  group(n: number): TextGroup;
}

/**
 * Opens a file or folder of groups; every record is checked now, and read again when it is needed.
 *
 * @param shapes The shapes that may come; the first that fits the first record is that of all.
 * @throws as `readRecords` and `groupOf`, and {TypeError} when the records have another shape.
 * @example
 * ```ts
 * import { openGroups } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const file = await Deno.makeTempFile({ suffix: ".csv" });
 * await Deno.writeTextFile(file, "anchor,positive\ncat,kitten\ndog,puppy\n");
 * using groups = await openGroups(file, ["triplet", "pair"]);
 * assert.deepEqual([groups.shape, groups.group(1).texts], ["pair", ["dog", "puppy"]]);
 * await Deno.remove(file);
 * ```
 */
export async function openGroups(
  path: string,
  shapes: readonly GroupShape[],
  options: Pick<ExampleOptions, "format" | "fields"> = {},
): Promise<GroupFile> {
  const shaped = shapedBy(options, shapes);
  let shape: GroupShape | undefined;
  const of = (found: JsonlRecord): TextGroup => {
    const { record, shape: told } = shaped(found);
    shape ??= shapes.find((one) => one === told);
    if (shape === undefined) {
      const wanted = shapes.map((one) => fieldsOf(one).join(", ")).join("; or ");
      throw typeError(
        "INVALID_ARGUMENT",
        `${showLocation(record)}: expected the fields ${wanted} but found ${told}; rename them with fields`,
      );
    }
    return groupOf(record, shape);
  };
  const file = await openRecords(path, (record) => void of(record));
  return {
    count: file.count,
    shape: shape!,
    group: (n) => of(file.record(n)),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

const fieldsOf = (shape: GroupShape): readonly string[] => [
  ...GROUP_TEXTS[shape],
  ...shape === "scored pair" ? ["score"] : [],
];

function similarityOf(record: JsonlRecord): number {
  const value = record.value["score"];
  const score = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof score === "number" && Number.isFinite(score)) return score;
  throw rangeError(
    "INVALID_ARGUMENT",
    `${showLocation(record)}: field "score" must be a number but is ${JSON.stringify(value)}`,
  );
}

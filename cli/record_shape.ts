/** Which records a file has, by what the command line says or by the first of them. */
import {
  type FieldNames,
  type LabelledKind,
  type LabelledOptions,
  readRecords,
  type RecordShape,
} from "../train/mod.ts";
import { EXAMPLE_SHAPES, shapedBy } from "../train/examples.ts";
import { checkRegularFile } from "../train/regular_file.ts";
import { rangeError } from "../errors/error.ts";

/** What says which records a file has. */
export interface RecordFlags {
  readonly data: string;
  /** The shape of the records; told by the fields where it is absent. */
  readonly format?: RecordShape;
  /** Fields under other names. */
  readonly fields?: FieldNames;
}

/** The kinds of labels by the shapes that have them. */
export const LABELLED: Readonly<Partial<Record<RecordShape, LabelledKind>>> = {
  label: "class",
  score: "score",
  labels: "flags",
  tags: "tags",
};

/** The shape of a file's records: as given, or told by the first one, `first` before others. */
export async function recordShape(
  { data, format, fields }: RecordFlags,
  first: readonly RecordShape[] = FIRST,
): Promise<RecordShape> {
  await checkRegularFile(data); // the file is read several times
  const shaped = shapedBy({ ...format && { format }, ...fields && { fields } }, first);
  for await (const record of readRecords(data)) return shaped(record).shape;
  throw rangeError("DATA_INVALID", `Cannot use ${data}: it has no records`);
}

/** Shapes that are meant before others: those with labels, then those of prompts and answers. */
const FIRST: readonly RecordShape[] = ["tags", "label", "score", "labels", ...EXAMPLE_SHAPES];

/** The kind of label of a file's records; undefined for prompts with answers. */
export async function labelledKind(flags: RecordFlags): Promise<LabelledKind | undefined> {
  return LABELLED[await recordShape(flags)];
}

/** How the records of a file are labelled examples. */
export function labelledOptions({ format, fields }: Omit<RecordFlags, "data">): LabelledOptions {
  const kind = format && LABELLED[format];
  return { ...kind && { kind }, ...fields && { fields } };
}

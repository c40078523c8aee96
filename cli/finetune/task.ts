/** The task that labelled data set: the head to load a model with, and the names of its classes. */
import type { Model } from "../../core/mod.ts";
import { classNames, type Task } from "../../models/mod.ts";
import { type LabelledExample, readLabelledExamples, showLocation } from "../../train/mod.ts";
import { flagNames, type LabelsSeen, labelsSeen } from "../../train/labelled_names.ts";
import { isEmbedding, type ObjectiveFlags } from "./objective_flags.ts";
import { type DataFlags, labelsOf } from "../data.ts";
import { labelledKind, labelledOptions, type RecordFlags } from "../record_shape.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * The task of a run; undefined where the model keeps its own head.
 *
 * @throws {RangeError} when the examples have only one class.
 * @param stored The checkpoint with its own head; shapes are enough.
 */
export async function taskFor(
  flags: RecordFlags & Pick<DataFlags, "limit"> & Pick<ObjectiveFlags, "objective"> & {
    readonly evalData?: string;
  },
  stored: Model,
): Promise<Task | undefined> {
  if (flags.objective === "reward") {
    const has = labelsOf(stored) === "scores" && classNames(stored).length === 1;
    return has ? undefined : { kind: "score" };
  }
  if (isEmbedding(flags)) {
    const encodes = !stored.spec.stacks.some(({ stack }) => stack === "decoder");
    return encodes && stored.spec.heads.length > 0 ? { kind: "embed" } : undefined;
  }
  const kind = await labelledKind(flags);
  if (kind === undefined) return undefined;
  if (kind === "score") {
    const has = labelsOf(stored) === "scores" && classNames(stored).length === 1;
    return has ? undefined : { kind: "score" };
  }
  const seen = labelsSeen();
  await see(flags.data, flags, seen, flags.limit);
  const same = seen.same();
  if (flags.evalData !== undefined) await see(flags.evalData, flags, seen);
  const names = seen.names();
  const task = TASKS[kind];
  const own = labelsOf(stored) === task.labels ? classNames(stored) : [];
  if (own.length > 0 && names.every((name) => own.includes(name))) return undefined;
  if (same !== undefined) {
    throw rangeError(
      "DATA_INVALID",
      `Cannot tell classes apart in ${flags.data}: all examples are "${labelText(same)}", from ${
        showLocation(same.at!)
      } on`,
    );
  }
  return { kind: task.kind, names };
}

/** The head for each kind of labels. */
const TASKS = {
  class: { kind: "classify", labels: "class" },
  flags: { kind: "flag", labels: "flags" },
  tags: { kind: "tag", labels: "token" },
} as const;

/** Sees the labels of a file, of at most so many rows. */
async function see(
  file: string,
  flags: Omit<RecordFlags, "data">,
  seen: LabelsSeen,
  limit: number = Infinity,
): Promise<void> {
  let left = limit;
  for await (const example of readLabelledExamples(file, labelledOptions(flags))) {
    if (left-- <= 0) return;
    seen.add(example);
  }
}

/** What all examples are labelled with: "good", or "toxic, late". */
function labelText(example: LabelledExample): string {
  switch (example.kind) {
    case "class":
      return example.label;
    case "score":
      return String(example.score);
    case "tags":
      return example.tags[0]!;
    case "flags":
      return flagNames(example.columns);
    default:
      return example satisfies never;
  }
}

/** The task that labelled data set: the head to load a model with, and the names of its classes. */
import type { Model } from "../../core/mod.ts";
import { classNames, type Task } from "../../models/mod.ts";
import { labelNames } from "../../train/mod.ts";
import { isEmbedding, type ObjectiveFlags } from "./objective_flags.ts";
import { type DataFlags, labelsOf } from "../data.ts";
import { labelledExamples, labelledKind, type RecordFlags } from "../record_shape.ts";
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
  const { limit: _, ...records } = flags;
  const examples = [
    ...await labelledExamples(flags),
    ...flags.evalData === undefined ? [] : await labelledExamples({ ...records, data: flags.evalData }),
  ];
  const names = labelNames(examples);
  const own = labelsOf(stored) === (kind === "class" ? "class" : "token") ? classNames(stored) : [];
  if (own.length > 0 && names.every((name) => own.includes(name))) return undefined;
  if (names.length < 2) {
    throw rangeError(
      "DATA_INVALID",
      `Cannot tell classes apart in ${flags.data}: all examples are "${names[0]}"`,
    );
  }
  return { kind: kind === "class" ? "classify" : "tag", names };
}

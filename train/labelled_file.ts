/** Labelled examples by number, for data larger than memory. */
import { labelledBy, type LabelledExample, type LabelledOptions } from "./labelled_examples.ts";
import { openRecords } from "./records/open.ts";

/** Labelled examples by number, of which not all need be in memory. */
export interface LabelledExamples {
  /** How many there are. */
  readonly count: number;
  /** Example n, from 0. */
  example(n: number): LabelledExample;
}

/** An open file of labelled examples. Close it with `using` or `[Symbol.dispose]()`. */
export interface LabelledFile extends LabelledExamples, Disposable {}

/**
 * Opens a file or folder of labelled examples; every record is checked now, and texts stay on disk.
 *
 * @throws as `readLabelledExamples`.
 * @example
 * ```ts
 * import { openLabelledExamples } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const file = await Deno.makeTempFile({ suffix: ".jsonl" });
 * await Deno.writeTextFile(file, '{"text": "Late again.", "labels": ["complaint", "delivery"]}\n');
 * using examples = await openLabelledExamples(file);
 * const example = examples.example(0);
 * assert.deepEqual(example.kind === "flags" && example.columns, { complaint: "1", delivery: "1" });
 * await Deno.remove(file);
 * ```
 */
export async function openLabelledExamples(
  file: string,
  options: LabelledOptions = {},
): Promise<LabelledFile> {
  const labelled = labelledBy(options);
  const opened = await openRecords(file, (record) => void labelled(record));
  return {
    count: opened.count,
    example: (n) => labelled(opened.record(n)),
    [Symbol.dispose]: () => opened[Symbol.dispose](),
  };
}

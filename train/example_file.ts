/**
 * Examples by index, for data larger than memory: an index of byte offsets, and one record read at a time.
 */
import { heed } from "../core/mod.ts";
import { type Example, type ExampleOptions, examplesOf, shapedBy } from "./examples.ts";
import { openRecords } from "./records/open.ts";
import { rangeError } from "../errors/error.ts";

/** An open data file. Close it with `using` or `[Symbol.dispose]()`. */
export interface ExampleFile extends Disposable {
  /** Examples in the file. */
  readonly count: number;
  /** Example n, from 0. @throws {RangeError} when there is none. */
  example(n: number): Example;
}

/** How to open a file of examples. */
export interface OpenExamplesOptions extends ExampleOptions {
  /** Ends the check of the records: the promise rejects with its reason, and the file, or its temporary copy, is closed. */
  readonly signal?: AbortSignal;
}

/**
 * Opens a file or folder of examples, in any form that `readRecords` reads. Every record is checked once here, so that an invalid line is found before
 * training starts; afterwards a few numbers per example stay in memory. `visit` is called once with each
 * example, for instance to record its length in tokens.
 *
 * @throws as `readRecords` and `examplesOf`, and the signal's reason when it is aborted.
 * @example
 * ```ts
 * import { openExamples } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const file = await Deno.makeTempFile({ suffix: ".jsonl" });
 * await Deno.writeTextFile(file, '{"prompt": "1 + 1 =", "completion": " 2"}\n{"prompt": "2 + 2 =", "completion": " 4"}\n');
 * using examples = await openExamples(file);
 * assert.equal(examples.count, 2);
 * assert.equal(examples.example(1).answer, " 4"); // in any order
 * await Deno.remove(file);
 * ```
 */
export async function openExamples(
  file: string,
  options: OpenExamplesOptions = {},
  visit: (example: Example, n: number) => void = () => {},
): Promise<ExampleFile> {
  const { signal } = options;
  signal?.throwIfAborted();
  const shaped = shapedBy(options);
  const places: { record: number[]; part: number[] } = { record: [], part: [] };
  let seen = 0;
  const opened = await openRecords(file, (found) => {
    const { record, shape } = shaped(found);
    examplesOf(record, shape, options).forEach((example, part) => {
      visit(example, places.record.length);
      places.record.push(seen);
      places.part.push(part);
    });
    seen++;
    return signal && seen % 256 === 0 ? heed(signal) : undefined;
  });
  const recordOf = Float64Array.from(places.record);
  const partOf = Uint32Array.from(places.part);
  return {
    count: recordOf.length,
    example(n) {
      const number = recordOf[n];
      if (number === undefined) {
        throw rangeError(
          "DATA_INVALID",
          `Cannot read example ${n} of ${file}: it has examples 0 to ${recordOf.length - 1}`,
        );
      }
      const { record, shape } = shaped(opened.record(number));
      return examplesOf(record, shape, options)[partOf[n]!]!;
    },
    [Symbol.dispose]() {
      opened[Symbol.dispose]();
    },
  };
}

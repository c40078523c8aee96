/**
 * Examples by index, for data larger than memory: an index of byte offsets, and one record read at a time.
 */
import { heed } from "../core/mod.ts";
import { type Example, type ExampleOptions, examplesOf, shapedBy } from "./examples.ts";
import { indexJsonl, type JsonlFile, openJsonl } from "./jsonl.ts";
import { openRecords } from "./records/open.ts";
import { isPlainJsonl } from "./records/read.ts";
import { gatherJson, gatherNumbers, inOrder, shareOf, type World } from "./world.ts";
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
  /**
   * Processes that share the check of a plain JSONL file: each reads every size-th record, and all learn what is wrong with the
   * first bad one. `hash` tells the file from others: where ranks have different ones, each checks its own as a whole.
   */
  readonly shared?: { readonly world: World; readonly hash: string };
}

/** Where each example stands: the number of its record, and which of the record's examples it is. */
interface Places {
  readonly record: number[];
  readonly part: number[];
}

/**
 * Opens a file or folder of examples, in any form that `readRecords` reads. Every record is checked once here, so that an invalid line is found before
 * training starts; afterwards a few numbers per example stay in memory. `visit` is called once with each
 * example, for instance to record its length in tokens, and its number; where processes share the check, with this one's alone,
 * and the number of its record.
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
  const { signal, shared } = options;
  signal?.throwIfAborted();
  const { opened, places } = shared !== undefined && await isDivided(file, shared)
    ? await openShared(file, options, shared.world, visit)
    : await openWhole(file, options, visit);
  const shaped = shapedBy(options);
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

async function openWhole(
  file: string,
  options: OpenExamplesOptions,
  visit: (example: Example, n: number) => void,
): Promise<{ readonly opened: JsonlFile; readonly places: Places }> {
  const { signal } = options;
  const shaped = shapedBy(options);
  const places: Places = { record: [], part: [] };
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
  return { opened, places };
}

/** Whether all ranks have the same file, whose records can be read one without another. */
async function isDivided(
  file: string,
  { world, hash }: NonNullable<OpenExamplesOptions["shared"]>,
): Promise<boolean> {
  if (world.size === 1) return false;
  const own = { hash, plain: await isPlainJsonl(file) };
  return (await gatherJson(world, own)).every((rank) => rank.plain && rank.hash === hash);
}

async function openShared(
  file: string,
  options: OpenExamplesOptions,
  world: World,
  visit: (example: Example, n: number) => void,
): Promise<{ readonly opened: JsonlFile; readonly places: Places }> {
  const opened = openJsonl(await indexJsonl(file, null));
  try {
    const shaped = shapedBy(options);
    const examples = (n: number): readonly Example[] => {
      const { record, shape } = shaped(opened.record(n));
      return examplesOf(record, shape, options);
    };
    examples(0); // its fields decide on the shape of all
    const counts: number[] = [];
    let failure: { readonly at: number; readonly error: unknown } | undefined;
    for (const n of shareOf(world, opened.count)) {
      try {
        const own = examples(n);
        own.forEach((example) => visit(example, n));
        counts.push(own.length);
      } catch (error) {
        failure = { at: n, error };
        break;
      }
    }
    const all = await gatherNumbers(world, [failure?.at ?? Infinity, ...counts]);
    const first = Math.min(...all.map(([bad]) => bad!));
    if (failure?.at === first) throw failure.error;
    if (first < Infinity) examples(first); // throws what the rank that read it met
    const places: Places = { record: [], part: [] };
    inOrder(all.map(([, ...counts]) => counts)).forEach((count, record) => {
      for (let part = 0; part < count; part++) {
        places.record.push(record);
        places.part.push(part);
      }
    });
    return { opened, places };
  } catch (error) {
    opened[Symbol.dispose]();
    throw error;
  }
}

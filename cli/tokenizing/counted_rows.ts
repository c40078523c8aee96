/**
 * Rows of a data file whose sizes are counted once for each tokenizer: by all cores, each rank its share, and kept for the next run.
 * A run may start while they are counted. Sizes depend on neither: a row's are a function of its example alone.
 */
import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import {
  alone,
  encodeExample,
  type EncodeOptions,
  type ExampleFile,
  gatherJson,
  gatherNumbers,
  type Rows,
  type World,
} from "../../train/mod.ts";
import { rowSize } from "../../train/row_size.ts";
import { shareOf } from "../../train/world.ts";
import metadata from "../../deno.json" with { type: "json" };
import { failure } from "../../errors/error.ts";
import { readSizes, sizeFileName, type Sizes, writeSizes } from "./size_file.ts";
import { type TokenizerPool, tokenizerPool } from "./pool.ts";

/** How rows are counted. */
export interface Counting {
  /** What decides on an example but the data and the tokenizer: shape, names of fields, instruction. */
  readonly decides: Readonly<Record<string, unknown>>;
  /** The hash of the data's bytes. */
  readonly sha256: string;
  /** The folder in which sizes are looked for, and kept. Default: none. */
  readonly folder?: string | undefined;
  /** Whether rows are returned before they are counted. */
  readonly early: boolean;
  /** The processes that train together. */
  readonly world?: World;
  /** Most threads. Default: as many as there are cores. */
  readonly threads?: number;
  /** Told now and then how many are counted. */
  readonly counted?: (rows: number) => void;
}

/** Fewer examples are counted by this thread: others would have only just started. */
export const FEW = 2048;

/** Examples that a thread is given at a time. */
const BLOCK = 512;

/** Rows, and what ends their counting. */
export interface CountedRows extends Disposable {
  readonly rows: Rows;
}

/**
 * The rows of examples.
 *
 * @throws as `rowSize`; with `early`, `Rows.sized` throws.
 */
export async function countedRows(
  examples: ExampleFile,
  tokenizer: Tokenizer,
  options: EncodeOptions,
  counting: Counting,
): Promise<CountedRows> {
  const { count } = examples;
  const { world = alone, early } = counting;
  const folder = count > FEW && tokenizer.files ? counting.folder : undefined;
  const name = folder === undefined ? "" : sizeFileName(decisive(tokenizer, options, count, counting));
  const kept = folder === undefined ? undefined : readSizes(folder, name, count);
  const mark = sizeFileName({ data: counting.sha256, count, options, decides: counting.decides });
  const ranks = await gatherJson(world, { mark, knows: kept !== undefined });
  if (kept !== undefined && ranks.every(({ knows }) => knows)) {
    return { rows: rowsOfSizes(examples, tokenizer, options, kept), [Symbol.dispose]: () => {} };
  }
  const sizes: Sizes = { lengths: new Uint32Array(count), targets: new Uint32Array(count) };
  // Ranks with other data or options are refused later, by name; until then each counts its own.
  const shares = ranks.every((rank) => rank.mark === mark);
  const own = shares ? shareOf(world, count) : Array.from({ length: count }, (_, n) => n);
  const threads = Math.max(1, Math.floor((counting.threads ?? availableParallelism()) / world.size));
  const { files } = tokenizer;
  const isShared = own.length > FEW && files !== undefined;
  let pool: TokenizerPool | undefined;
  const here = (n: number): void => {
    [sizes.lengths[n], sizes.targets[n]] = rowSize(examples.example(n), tokenizer, options, n);
  };
  let ended = false;
  const end = async (): Promise<void> => {
    ended = true;
    await pool?.end();
  };
  const all = async (): Promise<void> => {
    if (!isShared) {
      own.forEach((n, i) => {
        here(n);
        if (i % 100 === 99) counting.counted?.(i + 1);
      });
    } else {
      pool = tokenizerPool(threads, { files, options });
      await countBy(pool, examples, own, sizes, () => ended, counting.counted);
    }
    if (ended) throw failure("CANCELLED", "The rows are no longer counted");
    if (shares) await exchange(world, own, sizes);
    await end();
    if (folder !== undefined) await writeSizes(folder, name, sizes);
  };
  if (!early || !isShared || world.size > 1) {
    try {
      await all();
    } catch (error) {
      await end();
      throw error;
    }
    return { rows: rowsOfSizes(examples, tokenizer, options, sizes), [Symbol.dispose]: () => void end() };
  }
  let failed: { readonly error: unknown } | undefined;
  let counted: Promise<void> | undefined;
  const begin = (): Promise<void> => counted ??= all().catch((error) => void (failed = { error }));
  const sized = async (numbers?: readonly number[]): Promise<void> => {
    if (numbers === undefined || numbers.length > FEW) await begin();
    if (failed !== undefined) throw failed.error;
    // The few that a step waits for are counted here and now, however far the threads are.
    for (const n of numbers ?? []) if (sizes.lengths[n] === 0) here(n);
    void begin();
  };
  const rows = { ...rowsOfSizes(examples, tokenizer, options, sizes), sized };
  return { rows, [Symbol.dispose]: () => void end() };
}

/** Everything that sizes depend on. */
function decisive(
  { files }: Tokenizer,
  options: EncodeOptions,
  count: number,
  { decides, sha256 }: Counting,
): Readonly<Record<string, unknown>> {
  const { name: _, ...parts } = files!;
  const tokenizer = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  return { version: metadata.version, data: sha256, count, tokenizer, options, decides };
}

function rowsOfSizes(
  examples: ExampleFile,
  tokenizer: Tokenizer,
  options: EncodeOptions,
  { lengths, targets }: Sizes,
): Rows {
  return {
    count: examples.count,
    lengths,
    targets,
    tokens: (n) => {
      const row = encodeExample(examples.example(n), tokenizer, options);
      if (lengths[n] !== 0 && row.inputIds.length !== lengths[n]) {
        throw failure(
          "DATA_INVALID",
          `Row ${n + 1} has ${row.inputIds.length} tokens now and had ${
            lengths[n]
          } when the rows were counted: ` +
            "the data has changed; repeat the command, if that does not help with --no-cache",
        );
      }
      return row;
    },
  };
}

/**
 * Counts the examples with these numbers, those that are not yet counted.
 *
 * @throws what is wrong with the first of them that cannot be encoded.
 */
async function countBy(
  pool: TokenizerPool,
  examples: ExampleFile,
  numbers: readonly number[],
  { lengths, targets }: Sizes,
  ended: () => boolean,
  counted: (rows: number) => void = () => {},
): Promise<void> {
  let [next, done] = [0, 0];
  const failures: { readonly at: number; readonly error: unknown }[] = [];
  const work = async (): Promise<void> => {
    while (next < numbers.length && failures.length === 0 && !ended()) {
      const at = next;
      next += BLOCK;
      const block = numbers.slice(at, next);
      const missing = block.filter((n) => lengths[n] === 0);
      try {
        const sizes = await pool.count(missing, missing.map((n) => examples.example(n)));
        sizes.forEach((size, i) => [lengths[missing[i]!], targets[missing[i]!]] = size);
      } catch (error) {
        failures.push({ at, error });
      }
      done += block.length;
      counted(done);
    }
  };
  // While a thread counts one block, the next lies ready for it.
  await Promise.all(Array.from({ length: 2 * pool.size }, work));
  // Blocks are given out in order: what comes before the first failure is good.
  const [first] = failures.sort((a, b) => a.at - b.at);
  if (first !== undefined) throw first.error;
}

/** Every rank's share to all. */
async function exchange(world: World, own: readonly number[], { lengths, targets }: Sizes): Promise<void> {
  if (world.size === 1) return;
  const all = await gatherNumbers(world, own.flatMap((n) => [lengths[n]!, targets[n]!]));
  all.forEach((numbers, rank) => {
    shareOf({ ...world, rank }, lengths.length).forEach((n, i) => {
      [lengths[n], targets[n]] = [numbers[2 * i]!, numbers[2 * i + 1]!];
    });
  });
}

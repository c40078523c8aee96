/** Changes of a run that would fit in the memory there is, from those that cost least to those that change most. */
import { FAMILIES } from "../../methods/index.ts";
import type { ExampleSizes } from "../../train/mod.ts";
import { commandLineOf } from "../../tuning/chosen_method.ts";
import type { FinetuneFlags } from "./settings.ts";

/** A change of a run: the flags as one writes them, and what they do to the run. */
export interface Change {
  readonly text: string;
  readonly flags: FinetuneFlags;
  /** The most tokens in a row. */
  readonly maxLength: number;
}

/**
 * Changes to try, in order: one alone, then several together. Smaller chunks cost a little time, blocks that are computed again
 * more, rows one after another their padding's savings, shorter rows what they cut off, and a base of four bits some of its
 * precision.
 */
export function changesOf(flags: FinetuneFlags, maxLength: number): readonly Change[] {
  const whole: Change = { text: "", flags, maxLength };
  const chunks = (change: Change): Change => ({
    ...change,
    text: `${change.text} --chunk-tokens ${SMALL_CHUNK}`,
    flags: { ...change.flags, chunkTokens: SMALL_CHUNK },
  });
  const blocks = (change: Change): Change => ({
    ...change,
    text: `${change.text} --checkpoint-blocks`,
    flags: { ...change.flags, checkpointBlocks: true },
  });
  const rows = (change: Change): Change => {
    const accumulate = flags.accumulate * flags.batchSize;
    return {
      ...change,
      text: `${change.text} --batch-size 1 --accumulate ${accumulate}`,
      flags: { ...change.flags, batchSize: 1, accumulate },
    };
  };
  const shorter = (change: Change): Change => {
    const half = Math.floor(maxLength / 2);
    return { ...change, text: `${change.text} --max-length ${half}`, maxLength: half };
  };
  const quantized = FOUR_BITS === undefined ? undefined : (change: Change): Change => ({
    ...change,
    text: `${change.text} --method ${FOUR_BITS.name}`,
    flags: { ...change.flags, method: FOUR_BITS.name },
  });
  const single = [
    ...flags.batchSize > 1 && Math.min(flags.chunkTokens, flags.batchSize * maxLength) > SMALL_CHUNK
      ? [chunks]
      : [],
    ...flags.checkpointBlocks === true ? [] : [blocks],
    ...flags.batchSize === 1 ? [] : [rows],
    ...maxLength >= 128 ? [shorter] : [],
    ...quantized === undefined || flags.method === FOUR_BITS?.name ? [] : [quantized],
  ];
  const together = single.map((_, n) => single.slice(0, n + 1).reduce((change, next) => next(change), whole));
  return [...single.map((change) => change(whole)), ...together.slice(1)]
    .map((change) => ({ ...change, text: change.text.trim() }));
}

/** Tokens of a chunk that takes little memory, and on small models a tenth more time. */
const SMALL_CHUNK = 512;

/** The method that people know of those whose base is quantized. */
const FOUR_BITS = Object.values(FAMILIES).flat().find((one) =>
  commandLineOf(one).quantize !== undefined && one.cli?.compared !== undefined
);

/** Rows cut to a length. */
export function cutRows({ lengths, targets }: ExampleSizes, maxLength: number): ExampleSizes {
  return {
    lengths: Array.from(lengths, (length) => Math.min(length, maxLength)),
    targets: Array.from(targets, (count) => Math.min(count, maxLength)),
  };
}

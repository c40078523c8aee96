/** How time and memory of a LoRA step grow: our own steps against the smallest, so a ratio below 1 / size is less than linear. */
import { type Row, script } from "../row.ts";

const series = (
  name: string,
  what: string,
  sizes: readonly number[],
  options: (size: number) => Readonly<Record<string, unknown>>,
): Row => ({
  name,
  what,
  repetitions: 3,
  warmUp: 1,
  peers: sizes.map((size) => script(String(size), "step.ts", options(size))),
});

/** The rows. The number of labels is constant, and so is the head's cost. */
export const growth: readonly Row[] = [
  series("growth-tokens", "LoRA steps of 6 blocks at 128 tokens, of those at more", [
    128,
    256,
    512,
    1024,
    2048,
  ], (tokens) => ({
    tokens,
    labelled: 32,
    layers: 6,
  })),
  series(
    "growth-rank",
    "LoRA steps of 6 blocks at rank 1, of those at higher ranks",
    [1, 4, 16, 64, 256],
    (rank) => ({
      rank,
      labelled: 32,
      layers: 6,
    }),
  ),
  series("growth-layers", "LoRA steps of 2 blocks, of those of more", [2, 4, 8, 16, 30], (layers) => ({
    layers,
    labelled: 32,
  })),
];

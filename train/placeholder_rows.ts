/** Rows of which only the sizes matter, for planning memory, with labels of the model's kind. */
import type { Batch, Model } from "../core/mod.ts";
import { type Rows, rowsFrom } from "./rows.ts";
import { IGNORED } from "./truncation.ts";

/** Tokens in a row, and how many labels it has. */
export interface RowSize {
  /** Tokens. */
  readonly length: number;
  /** Labels that the loss counts. */
  readonly targets: number;
}

/** Rows of these sizes. For encoder-decoder models the length is that of both sides together. */
export function placeholderRows(model: Model, sizes: readonly RowSize[]): Rows {
  const rows = rowsFrom(sizes.map(({ length, targets }) => ({
    inputIds: new Array<number>(length).fill(0),
    labels: Array.from({ length }, (_, i) => i >= Math.max(1, length - targets) ? 0 : IGNORED),
  })));
  const kind = model.architecture.labels(model);
  if (kind === "next") return rows;
  return {
    ...rows,
    targets: sizes.map(({ targets }) => targets),
    batch: (numbers) => blankBatch(model, numbers.map((n) => sizes[n]!)),
  };
}

function blankBatch(model: Model, sizes: readonly RowSize[]): Batch {
  const longest = (of: (size: RowSize) => number): number => Math.max(1, ...sizes.map(of));
  const grid = (width: number, value: number): readonly (readonly number[])[] =>
    sizes.map(() => new Array<number>(width).fill(value));
  const read = (width: number): Batch => ({ inputIds: grid(width, 0), attentionMask: grid(width, 1) });
  if (model.architecture.decoderStart !== undefined) {
    return { ...read(longest((s) => s.length - s.targets)), labels: grid(longest((s) => s.targets), 0) };
  }
  const width = longest((s) => s.length);
  switch (model.architecture.labels(model)) {
    case "class":
      return { ...read(width), labels: sizes.map(() => 0) };
    case "scores":
    case "flags":
      return { ...read(width), labels: grid(model.spec.heads[0]!.outFeatures, 0) };
    default:
      return {
        ...read(width),
        labels: sizes.map(({ targets }) =>
          Array.from({ length: width }, (_, i) => i < targets ? 0 : IGNORED)
        ),
      };
  }
}

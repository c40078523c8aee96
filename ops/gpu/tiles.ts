/**
 * Boxes of a walk, split so that the elements of each operand fit a binding. A box of sizes nᵢ with steps sᵢ
 * spans Σ (nᵢ − 1) sᵢ + `extent` elements of an operand; where that is too much, the axis that contributes
 * most is split.
 */
import type { Operand } from "../../tensor/backend.ts";
import type { Context } from "./context.ts";
import type { Span } from "./stream.ts";

/** How a walk indexes an operand with one word per element, such as f32 or i32. */
export interface Reached {
  readonly x: Operand;
  /** Elements from one position along an axis to the next; nonnegative. */
  readonly steps: readonly number[];
  /** The element at the walk's corner; default 0. */
  readonly at?: number;
  /** Elements accessed at a single position; default 1. */
  readonly extent?: number;
}

/** A box: its corner and sizes. */
export interface Tile {
  readonly from: readonly number[];
  readonly sizes: readonly number[];
}

/** Number of elements that a box spans. */
function reach({ sizes }: Tile, { steps, extent = 1 }: Reached): number {
  return sizes.reduce((sum, n, axis) => sum + (n - 1) * steps[axis]!, extent);
}

/**
 * Boxes that cover `sizes` in ascending order along every axis. One that cannot be split further is left too
 * large.
 */
export function tiles(sizes: readonly number[], operands: readonly Reached[], most: number): readonly Tile[] {
  if (sizes.includes(0)) return [];
  const cut = (tile: Tile): readonly Tile[] => {
    for (const operand of operands) {
      const reached = reach(tile, operand);
      if (reached <= most) continue;
      const added = tile.sizes.map((n, axis) => (n - 1) * operand.steps[axis]!);
      const axis = added.indexOf(Math.max(...added));
      if (!(added[axis]! > 0)) continue;
      const n = tile.sizes[axis]!;
      const step = Math.ceil(n / Math.min(n, Math.ceil(reached / most)));
      return Array.from({ length: Math.ceil(n / step) }, (_, i) =>
        cut({
          from: tile.from.with(axis, tile.from[axis]! + i * step),
          sizes: tile.sizes.with(axis, Math.min(step, n - i * step)),
        })).flat();
    }
    return [tile];
  };
  return cut({ from: sizes.map(() => 0), sizes });
}

/**
 * Visits the boxes of a walk with a binding of each operand, and the offset of the box's corner in that
 * binding.
 *
 * @throws {RangeError} when the elements accessed at a single position exceed a binding.
 */
export function eachTile(
  context: Context,
  sizes: readonly number[],
  operands: readonly Reached[],
  visit: (tile: Tile, spans: readonly Span[], starts: readonly number[]) => void,
): void {
  for (const tile of tiles(sizes, operands, context.room)) {
    const bound = operands.map((operand) => {
      const corner = tile.from.reduce((at, n, axis) => at + n * operand.steps[axis]!, operand.at ?? 0);
      const { span, first } = context.window(operand.x, corner, reach(tile, operand));
      return { span, start: corner - first };
    });
    visit(tile, bound.map(({ span }) => span), bound.map(({ start }) => start));
  }
}

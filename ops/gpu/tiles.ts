/**
 * Boxes of a walk, cut so that what each operand reaches fits a binding. An operand reaches, from a box of sizes nᵢ with
 * steps sᵢ, a run of Σ (nᵢ − 1) sᵢ + `extent` elements; where that is too long, the axis that adds most to it is cut.
 */
import type { Operand } from "../../tensor/backend.ts";
import type { Context } from "./context.ts";
import type { Span } from "./stream.ts";

/** An operand of f32, i32 or another word a number, as a walk reaches it. */
export interface Reached {
  readonly x: Operand;
  /** Elements from one place of an axis to the next; none negative. */
  readonly steps: readonly number[];
  /** The element at the walk's corner; default 0. */
  readonly at?: number;
  /** Elements reached from a single place; default 1. */
  readonly extent?: number;
}

/** A box: its corner and sizes. */
export interface Tile {
  readonly from: readonly number[];
  readonly sizes: readonly number[];
}

/** Elements that a box reaches. */
function reach({ sizes }: Tile, { steps, extent = 1 }: Reached): number {
  return sizes.reduce((sum, n, axis) => sum + (n - 1) * steps[axis]!, extent);
}

/** Boxes that cover `sizes` in rising order along every axis. One that cannot be cut further is left too large. */
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
 * Visits the boxes of a walk with a binding of each operand, and the element of that binding at which the box's corner
 * lies.
 *
 * @throws {RangeError} when what a single place reaches is larger than a binding.
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

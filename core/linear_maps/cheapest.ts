/** The choice between ways of computing the same product, by counted multiply-adds. */
import type { Shape, Tensor } from "../../tensor/mod.ts";

/** One way of computing a result, with its fixed cost and cost per row in multiply-adds. */
export interface Way<T> {
  /** Multiply-adds independent of the number of rows. */
  readonly once: number;
  /** Multiply-adds for each row. */
  readonly perRow: number;
  /** Computes it this way. */
  run(): T;
}

/**
 * The result of the cheapest way for a number of rows; the first one on ties.
 *
 * @example
 * ```ts
 * import { cheapest } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const ways = [
 *   { once: 0, perRow: 10, run: () => "row by row" },
 *   { once: 60, perRow: 2, run: () => "prepare, then quickly" },
 * ];
 * assert.equal(cheapest(3, ways), "row by row");
 * assert.equal(cheapest(30, ways), "prepare, then quickly");
 * ```
 */
export function cheapest<T>(rows: number, ways: readonly Way<T>[]): T {
  const cost = (way: Way<T>): number => way.once + rows * way.perRow;
  return ways.reduce((best, way) => cost(way) < cost(best) ? way : best).run();
}

/**
 * The number of rows of x [..., in].
 *
 * @example
 * ```ts
 * import { reference, rowCount, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(rowCount(tensor([[1, 2], [3, 4], [5, 6]], { backend: reference() })), 3);
 * ```
 */
export function rowCount(x: Tensor): number {
  return x.size / x.shape[x.shape.length - 1]!;
}

/**
 * The shape without its last axis.
 *
 * @example
 * ```ts
 * import { leading, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(leading(tensor([[[1, 2]], [[3, 4]]], { backend: reference() })), [2, 1]);
 * ```
 */
export function leading(x: Tensor): Shape {
  return x.shape.slice(0, -1);
}

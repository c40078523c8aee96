import { rangeError } from "../errors/error.ts";

/**
 * Shapes and the rules for them. Letters used in comments everywhere: b batch, t tokens (queries), s tokens
 * (keys), d width, h heads, r rank, v vocabulary.
 */
export type Shape = readonly number[];

/**
 * The number of elements of a shape.
 *
 * @example
 * ```ts
 * import { size } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.equal(size([2, 3, 4]), 24);
 * assert.equal(size([]), 1); // a single number
 * ```
 */
export function size(shape: Shape): number {
  return shape.reduce((a, b) => a * b, 1);
}

/**
 * A shape as rows: the number of rows over all axes but the last, and their width, the last axis; a scalar is
 * one row of width 1.
 *
 * @example
 * ```ts
 * import { rowsAndWidth } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.deepEqual(rowsAndWidth([2, 3, 4]), { rows: 6, width: 4 });
 * ```
 */
export function rowsAndWidth(shape: Shape): { readonly rows: number; readonly width: number } {
  return { rows: size(shape.slice(0, -1)), width: shape[shape.length - 1] ?? 1 };
}

/**
 * A shape as text: `[2, 3]`.
 *
 * @example
 * ```ts
 * import { showShape } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.equal(showShape([2, 3]), "[2, 3]");
 * ```
 */
export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/**
 * Whether two shapes are equal.
 *
 * @example
 * ```ts
 * import { sameShape } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.ok(sameShape([2, 3], [2, 3]) && !sameShape([2, 3], [3, 2]));
 * ```
 */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

/**
 * The shape to which two shapes broadcast, aligned at the last axis.
 *
 * @throws {RangeError} when an axis has two different sizes and neither is 1; the message names the op.
 * @example
 * ```ts
 * import { broadcast } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.deepEqual(broadcast("add", [2, 1, 4], [3, 1]), [2, 3, 4]);
 * ```
 */
export function broadcast(op: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const m = a[a.length - rank + i] ?? 1;
    const n = b[b.length - rank + i] ?? 1;
    if (m !== n && m !== 1 && n !== 1) {
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot ${op} ${showShape(a)} and ${showShape(b)}: axis ${i} has sizes ${m} and ${n}`,
      );
    }
    return m === 1 ? n : m;
  });
}

/**
 * An axis index as a number in 0..rank-1; negative ones count from the end.
 *
 * @throws {RangeError} when there is no such axis.
 * @example
 * ```ts
 * import { axisOf } from "@graft/peft/core";
 * import { sum } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.equal(axisOf("sum", [2, 3, 4], -1), 2);
 * assert.throws(() => axisOf("sum", [2, 3], 2), /Cannot sum \[2, 3\]: it has no axis 2/);
 * ```
 */
export function axisOf(op: string, shape: Shape, axis: number): number {
  const index = axis < 0 ? axis + shape.length : axis;
  if (!Number.isInteger(axis) || index < 0 || index >= shape.length) {
    throw rangeError("INVALID_TENSOR", `Cannot ${op} ${showShape(shape)}: it has no axis ${axis}`);
  }
  return index;
}

/**
 * Row-major strides of a shape, in elements.
 *
 * @example
 * ```ts
 * import { strides } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.deepEqual(strides([2, 3, 4]), [12, 4, 1]);
 * ```
 */
export function strides(shape: Shape): readonly number[] {
  const result = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    result[i] = step;
    step *= shape[i]!;
  }
  return result;
}

/** Ops that move elements without arithmetic. */
import {
  axisOf,
  defineOp,
  type Op,
  type Shape,
  showShape,
  size,
  type Tensor,
  viewAs,
} from "../tensor/mod.ts";
import { rangeError } from "../errors/error.ts";

/**
 * The same elements under another shape, sharing the storage; one size may be −1.
 *
 * @throws {RangeError} when the sizes differ.
 * @example
 * ```ts
 * import { reference, tensor } from "@graft/peft";
 * import { reshape } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2, 3, 4, 5, 6], { backend: reference() });
 * assert.deepEqual(reshape(x, [2, -1]).shape, [2, 3]);
 * ```
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = shape.filter((n) => n !== -1).reduce((a, b) => a * b, 1);
  const full = shape.map((n) => n === -1 ? x.size / known : n);
  if (size(full) !== x.size || full.some((n) => !Number.isInteger(n))) {
    throw rangeError(
      "INVALID_TENSOR",
      `Cannot reshape ${showShape(x.shape)} to ${showShape(shape)}: ${x.size} elements`,
    );
  }
  return viewAs(x, full);
}

const permuteOp: Op<readonly number[]> = defineOp({
  name: "permute",
  shape: ([x], axes) => {
    if (
      axes.length !== x!.shape.length || new Set(axes).size !== axes.length ||
      axes.some((a) => x!.shape[a] === undefined)
    ) {
      throw rangeError("INVALID_TENSOR", `Cannot permute ${showShape(x!.shape)} by axes ${showShape(axes)}`);
    }
    return [{ shape: axes.map((a) => x!.shape[a]!), dtype: x!.dtype }];
  },
  run: (backend, [x], [y], axes) => backend.permute(x!, axes, y!),
  vjp: (_, __, axes) => ({ saved: [], pull: (g) => [permute(g, axes.map((_, i) => axes.indexOf(i)))] }),
});

/**
 * Axes in another order, as numpy.transpose.
 *
 * @example
 * ```ts
 * import { permute, zeros } from "@graft/peft/ops";
 * import { reference } from "@graft/peft/ops/reference";
 * import assert from "node:assert/strict";
 * const x = zeros([2, 3, 4], reference());
 * assert.deepEqual(permute(x, [2, 0, 1]).shape, [4, 2, 3]);
 * ```
 */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  return axes.every((a, i) => a === i) ? x : permuteOp([x], axes);
}

/**
 * The last two axes exchanged.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { transpose } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 2, 3], [4, 5, 6]], { backend: reference() });
 * assert.deepEqual([...await read(transpose(x))], [1, 4, 2, 5, 3, 6]);
 * ```
 */
export function transpose(x: Tensor): Tensor {
  const rank = x.shape.length;
  if (rank < 2) {
    throw rangeError("INVALID_TENSOR", `Cannot transpose ${showShape(x.shape)}: it has fewer than two axes`);
  }
  return permute(x, [...Array(rank - 2).keys(), rank - 1, rank - 2]);
}

interface Box {
  readonly starts: readonly number[];
  readonly shape: Shape;
}

const sliceOp: Op<Box> = defineOp({
  name: "slice",
  shape: ([x], { shape }) => [{ shape, dtype: x!.dtype }],
  run: (backend, [x], [y], { starts }) => backend.slice(x!, starts, y!),
  vjp: ([x], _, { starts }) => ({ saved: [], pull: (g) => [placeOp([g], { starts, shape: x!.shape })] }),
});

const placeOp: Op<Box> = defineOp({
  name: "place",
  shape: (_, { shape }) => [shape],
  run: (backend, [x], [y], { starts }) => backend.place(x!, starts, y!),
  vjp: ([x], _, { starts }) => ({ saved: [], pull: (g) => [sliceOp([g], { starts, shape: x!.shape })] }),
});

/**
 * Elements `from` up to `to` of one axis (negative counts from the end).
 *
 * @throws {RangeError} when the range exceeds the axis.
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { slice } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1, 2, 3], [4, 5, 6]], { backend: reference() });
 * assert.deepEqual([...await read(slice(x, -1, 1, 3))], [2, 3, 5, 6]);
 * ```
 */
export function slice(x: Tensor, axis: number, from: number, to: number): Tensor {
  const at = axisOf("slice", x.shape, axis);
  const n = x.shape[at]!;
  const [start, end] = [from < 0 ? from + n : from, to < 0 ? to + n : to];
  if (start < 0 || end > n || start > end) {
    throw rangeError(
      "INVALID_TENSOR",
      `Cannot slice axis ${axis} of ${showShape(x.shape)} from ${from} to ${to}`,
    );
  }
  if (start === 0 && end === n) return x;
  return sliceOp([x], {
    starts: x.shape.map((_, i) => i === at ? start : 0),
    shape: x.shape.map((size, i) => i === at ? end - start : size),
  });
}

/**
 * Zeros of size n along an axis, with x written at `from`: the adjoint of `slice`.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * import { place } from "@graft/peft/ops";
 * const x = tensor([1, 2], { backend: reference() });
 * assert.deepEqual([...await read(place(x, 0, 1, 4))], [0, 1, 2, 0]);
 * ```
 */
export function place(x: Tensor, axis: number, from: number, n: number): Tensor {
  const at = axisOf("place", x.shape, axis);
  if (from < 0 || from + x.shape[at]! > n) {
    throw rangeError(
      "INVALID_TENSOR",
      `Cannot place ${showShape(x.shape)} at ${from} of ${n} along axis ${axis}`,
    );
  }
  return placeOp([x], {
    starts: x.shape.map((_, i) => i === at ? from : 0),
    shape: x.shape.map((size, i) => i === at ? n : size),
  });
}

const concatOp: Op<number> = defineOp({
  name: "concat",
  shape: (parts, axis) => {
    const first = parts[0]!;
    for (const part of parts) {
      if (
        part.shape.length !== first.shape.length ||
        part.shape.some((n, i) => i !== axis && n !== first.shape[i])
      ) {
        throw rangeError(
          "INVALID_TENSOR",
          `Cannot concat ${
            parts.map((p) => showShape(p.shape)).join(", ")
          } along axis ${axis}: other axes differ`,
        );
      }
    }
    const total = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
    return [{ shape: first.shape.map((n, i) => i === axis ? total : n), dtype: first.dtype }];
  },
  run: (backend, parts, [y], axis) => backend.concat(parts, axis, y!),
  vjp: (parts, _, axis, needs) => ({
    saved: [],
    pull: (g) => {
      let from = 0;
      return parts.map((part, i) => {
        const start = from;
        from += part.shape[axis]!;
        return needs[i] ? slice(g, axis, start, from) : undefined;
      });
    },
  }),
});

/**
 * Tensors joined along an axis.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { concat, multiply } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[1], [2]], { backend: reference() });
 * assert.deepEqual([...await read(concat([x, multiply(x, 10)], 1))], [1, 10, 2, 20]);
 * ```
 */
export function concat(parts: readonly Tensor[], axis = 0): Tensor {
  if (parts.length === 0) throw rangeError("INVALID_TENSOR", "Cannot concat no tensors");
  return parts.length === 1 ? parts[0]! : concatOp(parts, axisOf("concat", parts[0]!.shape, axis));
}

/**
 * Tensors of one shape joined along a new first axis.
 *
 * @example
 * ```ts
 * import { reference, tensor } from "@graft/peft";
 * import { stack } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2], { backend: reference() });
 * assert.deepEqual(stack([x, x, x]).shape, [3, 2]);
 * ```
 */
export function stack(parts: readonly Tensor[]): Tensor {
  return concat(parts.map((part) => reshape(part, [1, ...part.shape])), 0);
}

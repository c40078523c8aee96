/** Iteration over broadcast and permuted operands, with axes merged so that kernels see few, long runs. */
import { type Shape, strides } from "./shape.ts";

/** Sizes of the merged axes, and for each operand the strides over them in elements. */
export interface Walk {
  readonly sizes: readonly number[];
  readonly strides: readonly (readonly number[])[];
}

/** Strides that read `from` as if broadcast to `to`: 0 along repeated axes. */
export function broadcastStrides(from: Shape, to: Shape): readonly number[] {
  const own = strides(from);
  const lead = to.length - from.length;
  return to.map((_, axis) => axis < lead || from[axis - lead] === 1 ? 0 : own[axis - lead]!);
}

/**
 * A walk with axes of size 1 dropped and adjacent axes merged where every operand can step through both as
 * one. There is always at least one axis.
 */
export function mergeAxes(sizes: Shape, operands: readonly (readonly number[])[]): Walk {
  const outSizes: number[] = [];
  const outStrides: number[][] = operands.map(() => []);
  sizes.forEach((n, axis) => {
    if (n === 1) return;
    const last = outSizes.length - 1;
    const joins = last >= 0 && operands.every((steps, i) => outStrides[i]![last] === steps[axis]! * n);
    if (joins) {
      outSizes[last]! *= n;
      operands.forEach((steps, i) => outStrides[i]![last] = steps[axis]!);
    } else {
      outSizes.push(n);
      operands.forEach((steps, i) => outStrides[i]!.push(steps[axis]!));
    }
  });
  if (outSizes.length > 0) return { sizes: outSizes, strides: outStrides };
  return { sizes: [1], strides: operands.map(() => [1]) };
}

/** A walk encoded as the words that kernels read: rank, sizes, strides. */
export function words(walk: Walk): readonly number[] {
  return [walk.sizes.length, ...walk.sizes, ...walk.strides.flat()];
}

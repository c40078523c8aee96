/** Kernels that only move elements: axes, boxes, concatenation, and rows or columns selected by index. */
import type { Backend, Operand } from "../../tensor/backend.ts";
import { byteLength, type DType } from "../../tensor/dtype.ts";
import { rowsAndWidth, showShape, size, strides } from "../../tensor/shape.ts";
import { DTYPE } from "./codes.ts";
import type { Context } from "./context.ts";
import { mergeAxes, type Walk, words } from "../../tensor/walk.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** The kernels of this file. */
export type MoveKernels = Pick<
  Backend,
  | "permute"
  | "slice"
  | "place"
  | "concat"
  | "gatherRows"
  | "scatterAddRows"
  | "gatherLast"
  | "scatterAddLast"
>;

/** Moves of elements. */
export function moveKernels(context: Context): MoveKernels {
  const { kernels, address, at } = context;

  /** Copies elements along a walk of (source, destination), by runs where both are contiguous. */
  const copyRuns = (walk: Walk, unit: number, from: number, to: number): void => {
    const last = walk.sizes.length - 1;
    const runs = walk.strides.every((steps) => steps[last] === 1);
    const spec = runs
      ? walk
      : { sizes: [...walk.sizes, 1], strides: walk.strides.map((steps) => [...steps, 1]) };
    kernels().copy_runs(context.words(words(spec)), unit, from, to);
  };
  const put = (x: Operand, starts: readonly number[], out: Operand): void => {
    const unit = unitOf(x);
    const walk = mergeAxes(x.shape, [strides(x.shape), strides(out.shape)]);
    copyRuns(walk, unit, address(x), address(out) + unit * corner(out.shape, starts));
  };
  /** @throws {RangeError} when an index is outside 0 … limit − 1. */
  const check = (op: string, ids: Operand, limit: number): void => {
    const n = size(ids.shape);
    // 0 is allowed in either case; with a limit of 0 no index is.
    const bad = limit > 0 ? kernels().first_outside(at(ids, "i32"), n, limit, 0) >>> 0 : 0;
    if (bad < n) {
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot ${op}: index at position ${bad} is outside 0 to ${limit - 1}`,
      );
    }
  };

  return {
    permute(x: Operand, axes: readonly number[], out: Operand): void {
      const steps = strides(x.shape);
      const walk = mergeAxes(out.shape, [axes.map((axis) => steps[axis]!), strides(out.shape)]);
      const [source, target] = walk.strides as [readonly number[], readonly number[]];
      const last = walk.sizes.length - 1;
      const unit = unitOf(x);
      const inner = source.indexOf(1);
      if (unit !== 4 || source[last] === 1 || inner < 0) {
        return copyRuns(walk, unit, address(x), address(out));
      }
      const keep = (_: unknown, axis: number) => axis !== inner && axis !== last;
      const outer: Walk = {
        sizes: walk.sizes.filter(keep),
        strides: walk.strides.map((s) => s.filter(keep)),
      };
      const spec = outer.sizes.length > 0 ? outer : { sizes: [1], strides: [[0], [0]] };
      const ends = [address(x), address(out)] as const;
      kernels().transpose(
        ...[context.words(words(spec)), ...ends] as const,
        ...[walk.sizes[last]!, walk.sizes[inner]!, source[last]!, target[inner]!] as const,
      );
    },
    slice(x: Operand, starts: readonly number[], out: Operand): void {
      const unit = unitOf(x);
      const walk = mergeAxes(out.shape, [strides(x.shape), strides(out.shape)]);
      copyRuns(walk, unit, address(x) + unit * corner(x.shape, starts), address(out));
    },
    place(x: Operand, starts: readonly number[], out: Operand): void {
      zero(out);
      put(x, starts, out);
    },
    concat(parts: readonly Operand[], axis: number, out: Operand): void {
      let start = 0;
      for (const part of parts) {
        put(part, out.shape.map((_, i) => i === axis ? start : 0), out);
        start += part.shape[axis]!;
      }
    },
    gatherRows(table: Operand, ids: Operand, out: Operand): void {
      check("gatherRows", ids, table.shape[0]!);
      kernels().gather_rows(
        ...[DTYPE[table.dtype], address(table), size(table.shape), rowsAndWidth(table.shape).width] as const,
        ...[at(ids, "i32"), size(ids.shape), size(table.shape.slice(1)), at(out)] as const,
      );
    },
    scatterAddRows(x: Operand, ids: Operand, out: Operand): void {
      check("scatterAddRows", ids, out.shape[0]!);
      const width = size(out.shape.slice(1));
      kernels().scatter_add_rows(at(x), at(ids, "i32"), size(ids.shape), width, out.shape[0]!, at(out));
    },
    gatherLast(x: Operand, ids: Operand, out: Operand): void {
      const { width } = rowsAndWidth(x.shape);
      check("gatherLast", ids, width);
      const { rows, width: count } = rowsAndWidth(ids.shape);
      kernels().gather_last(
        at(x, x.dtype === "i32" ? "i32" : "f32"),
        at(ids, "i32"),
        rows,
        width,
        count,
        address(out),
      );
    },
    scatterAddLast(x: Operand, ids: Operand, out: Operand): void {
      const { width } = rowsAndWidth(out.shape);
      check("scatterAddLast", ids, width);
      const { rows, width: count } = rowsAndWidth(ids.shape);
      // Rows without an index are still set to zero.
      kernels().scatter_add_last(at(x), at(ids, "i32"), rows, width, count, at(out));
    },
  };

  function zero(out: Operand): void {
    const bytes = byteLength(out.dtype, out.shape);
    // Blocks are multiples of 64 bytes, so the last word may be written whole.
    kernels().fill32(0, address(out), Math.ceil(bytes / 4));
  }
}

const corner = (shape: readonly number[], starts: readonly number[]): number =>
  strides(shape).reduce((sum, step, axis) => sum + step * starts[axis]!, 0);

/** Bytes of an element. @throws {TypeError} for quantized dtypes. */
function unitOf(x: Operand): number {
  const units: { readonly [dtype in DType]?: number } = { f32: 4, i32: 4, f16: 2, bf16: 2, u8: 1 };
  const unit = units[x.dtype];
  if (unit !== undefined) return unit;
  throw typeError(
    "INVALID_TENSOR",
    `Expected a plain operand but found ${x.dtype} ${showShape(x.shape)}: cast it first`,
  );
}

/** Kernels that only move elements: axes, boxes, concatenation, and rows or columns selected by index. */
import type { Operand } from "../../tensor/backend.ts";
import { rowsAndWidth, size, strides } from "../../tensor/shape.ts";
import { bytesOf, elements, floats, integers, numbers, numbersIn, walk } from "./storage.ts";
import { rangeError } from "../../errors/error.ts";

/** out axis i is x's axis axes[i]. */
export function permute(x: Operand, axes: readonly number[], out: Operand): void {
  const steps = strides(x.shape);
  const offsets = walk(out.shape, axes.map((axis) => steps[axis]!));
  const [from, to] = [elements(x), elements(out)];
  for (let i = 0; i < to.length; i++) to[i] = from[offsets[i]!]!;
}

const corner = (shape: readonly number[], starts: readonly number[]): number =>
  strides(shape).reduce((sum, step, axis) => sum + step * starts[axis]!, 0);

/** out = the box of x at `starts`. */
export function slice(x: Operand, starts: readonly number[], out: Operand): void {
  const offsets = walk(out.shape, strides(x.shape), corner(x.shape, starts));
  const [from, to] = [elements(x), elements(out)];
  for (let i = 0; i < to.length; i++) to[i] = from[offsets[i]!]!;
}

/** out = zeros with x at `starts`. */
export function place(x: Operand, starts: readonly number[], out: Operand): void {
  bytesOf(out).fill(0);
  put(x, starts, out);
}

/** Joins parts along an axis. */
export function concat(parts: readonly Operand[], axis: number, out: Operand): void {
  let at = 0;
  for (const part of parts) {
    put(part, out.shape.map((_, i) => i === axis ? at : 0), out);
    at += part.shape[axis]!;
  }
}

function put(x: Operand, starts: readonly number[], out: Operand): void {
  const offsets = walk(x.shape, strides(out.shape), corner(out.shape, starts));
  const [from, to] = [elements(x), elements(out)];
  for (let i = 0; i < from.length; i++) to[offsets[i]!] = from[i]!;
}

/** out[i] = table[ids[i]], decoded. */
export function gatherRows(table: Operand, ids: Operand, out: Operand): void {
  const width = size(table.shape.slice(1));
  const to = floats(out);
  integers(ids).forEach((id, i) => {
    check("gatherRows", id, table.shape[0]!);
    to.set(numbersIn(table, id * width, (id + 1) * width), i * width);
  });
}

/** out = zeros; out[ids[i]] += x[i]. */
export function scatterAddRows(x: Operand, ids: Operand, out: Operand): void {
  const width = size(out.shape.slice(1));
  const from = numbers(x);
  const sums = new Float64Array(size(out.shape));
  integers(ids).forEach((id, i) => {
    check("scatterAddRows", id, out.shape[0]!);
    for (let j = 0; j < width; j++) sums[id * width + j]! += from[i * width + j]!;
  });
  floats(out).set(sums);
}

/** out[..., j] = x[..., ids[..., j]]. */
export function gatherLast(x: Operand, ids: Operand, out: Operand): void {
  const { width } = rowsAndWidth(x.shape);
  const picks = rowsAndWidth(ids.shape).width;
  const [from, to] = [elements(x), elements(out)];
  integers(ids).forEach((id, i) => {
    check("gatherLast", id, width);
    to[i] = from[Math.floor(i / picks) * width + id]!;
  });
}

/** out = zeros; out[..., ids[..., j]] += x[..., j]. */
export function scatterAddLast(x: Operand, ids: Operand, out: Operand): void {
  const { width } = rowsAndWidth(out.shape);
  const picks = rowsAndWidth(ids.shape).width;
  const from = numbers(x);
  const sums = new Float64Array(size(out.shape));
  integers(ids).forEach((id, i) => {
    check("scatterAddLast", id, width);
    sums[Math.floor(i / picks) * width + id]! += from[i]!;
  });
  floats(out).set(sums);
}

function check(op: string, id: number, n: number): void {
  if (id < 0 || id >= n) {
    throw rangeError("INVALID_TENSOR", `Cannot ${op}: index ${id} is outside 0 to ${n - 1}`);
  }
}

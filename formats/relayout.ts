/** Moves whole rows or elements of stored tensors, without interpreting their values. */
import { byteLength, isGguf, isQuantized, showShape } from "../tensor/mod.ts";
import type { DType, Shape } from "../tensor/mod.ts";
import { rangeError, typeError } from "../errors/error.ts";

/**
 * Rows in another order: row `i` of the result is row `from(i)`. GGUF blocks run along rows, so they are
 * moved intact.
 *
 * @throws {TypeError} when the dtype's scales are not stored within its rows.
 */
export function reorderRows(
  where: string,
  dtype: DType,
  shape: Shape,
  bytes: Uint8Array,
  from: (row: number) => number,
): Uint8Array {
  if (isQuantized(dtype) && !isGguf(dtype)) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot reorder the rows of ${where}: ${dtype} keeps its scales apart; dequantize it first`,
    );
  }
  const rows = shape[0]!;
  const width = bytes.length / rows;
  const out = new Uint8Array(bytes.length);
  for (let row = 0; row < rows; row++) {
    const start = from(row) * width;
    out.set(bytes.subarray(start, start + width), row * width);
  }
  return out;
}

/**
 * For rotary heads stored as pairs (head, i, half): the source row of each row in half-split order (head,
 * half, i).
 *
 * @throws {RangeError} when the rows do not divide into heads of even size.
 */
export function fromInterleaved(where: string, shape: Shape, heads: number): (row: number) => number {
  const pairs = halfHead(where, shape, heads);
  return (row) => {
    const head = Math.floor(row / (2 * pairs));
    const half = Math.floor(row / pairs) % 2;
    return head * 2 * pairs + 2 * (row % pairs) + half;
  };
}

/** The inverse of `fromInterleaved`. */
export function toInterleaved(where: string, shape: Shape, heads: number): (row: number) => number {
  const pairs = halfHead(where, shape, heads);
  return (row) => {
    const head = Math.floor(row / (2 * pairs));
    const i = Math.floor(row / 2) % pairs;
    return head * 2 * pairs + (row % 2) * pairs + i;
  };
}

/**
 * The bytes of a matrix's transpose. Plain dtypes only: blocks run along rows and cannot be transposed.
 *
 * @param shape The matrix as it is: [rows, columns].
 * @throws {TypeError} when the dtype is quantized.
 */
export function transposed(where: string, dtype: DType, shape: Shape, bytes: Uint8Array): Uint8Array {
  if (isQuantized(dtype) || shape.length !== 2) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot transpose ${where}: it is ${dtype} ${showShape(shape)}; decode it first`,
    );
  }
  const [rows, columns] = shape as readonly [number, number];
  const width = byteLength(dtype, [1]);
  const out = new Uint8Array(bytes.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const from = (r * columns + c) * width;
      const to = (c * rows + r) * width;
      for (let k = 0; k < width; k++) out[to + k] = bytes[from + k]!;
    }
  }
  return out;
}

function halfHead(where: string, shape: Shape, heads: number): number {
  const pairs = shape[0]! / heads / 2;
  if (!Number.isInteger(pairs)) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot reorder ${where}: ${showShape(shape)} does not divide into ${heads} heads of even size`,
    );
  }
  return pairs;
}

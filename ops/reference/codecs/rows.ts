/**
 * Eight-bit codes. int8: one absmax per row, w = code · absmax / 127 (LLM.int8, arXiv 2208.07339). dynamic8
 * and udynamic8: one absmax per block of 256, w = map[code] · absmax (8-bit optimizers, arXiv 2110.02861),
 * the nearest map value, as in bitsandbytes' accelerator and default kernels. (Its CPU kernel goes through a
 * coarse grid, which would turn a zero moment into 2e-5 of the block's largest.)
 */
import { byteLength, DYNAMIC_BLOCK, layout } from "../../../tensor/dtype.ts";
import { roundEven } from "./half.ts";
import { nearest, SIGNED, UNSIGNED } from "../../../tensor/codebook.ts";

const f = Math.fround;
/** bitsandbytes multiplies by this f32 instead of dividing by 127. */
const INVERSE_127 = f(7.874015718698502e-3);
const TINY = f(1e-38);

/** Values of elements `from` … `to − 1` of an int8 tensor whose rows hold `width` elements. */
export function decodeInt8(
  bytes: Uint8Array,
  shape: readonly number[],
  from: number,
  to: number,
): Float32Array<ArrayBuffer> {
  const width = shape[shape.length - 1] ?? 1;
  const absmax = rowScales(bytes, shape);
  const out = new Float32Array(to - from);
  for (let i = from; i < to; i++) {
    const code = (bytes[i]! << 24) >> 24;
    out[i - from] = f(code * absmax[Math.floor(i / width)]!) * INVERSE_127;
  }
  return out;
}

/** Bytes of f32 values as int8 codes: round(w · (1 / absmax · 127)), ties to even, a scale per row. */
export function encodeInt8(values: Float32Array, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const width = shape[shape.length - 1] ?? 1;
  const bytes = new Uint8Array(byteLength("int8", shape));
  rowScales(bytes, shape).forEach((_, row, absmax) => {
    const part = values.subarray(row * width, (row + 1) * width);
    absmax[row] = part.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    if (absmax[row] === 0) return;
    const factor = f(f(1 / absmax[row]!) * 127); // as torch divides a number by a tensor
    part.forEach((x, i) => bytes[row * width + i] = roundEven(f(x * factor)));
  });
  return bytes;
}

function rowScales(bytes: Uint8Array, shape: readonly number[]): Float32Array {
  const at = layout("int8", shape);
  return new Float32Array(bytes.buffer, bytes.byteOffset + at.scales, (at.end - at.scales) / 4);
}

/** Values of elements `from` … `to − 1` of n elements stored as dynamic 8-bit codes. */
export function decodeDynamic(
  dtype: "dynamic8" | "udynamic8",
  bytes: Uint8Array,
  n: number,
  from: number,
  to: number,
): Float32Array<ArrayBuffer> {
  const { values } = dtype === "dynamic8" ? SIGNED : UNSIGNED;
  const absmax = blockScales(dtype, bytes, n);
  const out = new Float32Array(to - from);
  for (let i = from; i < to; i++) {
    out[i - from] = values[bytes[i]!]! * absmax[Math.floor(i / DYNAMIC_BLOCK)]!;
  }
  return out;
}

/** Bytes of f32 values as dynamic 8-bit codes. udynamic8 encodes negative values as 0. */
export function encodeDynamic(
  dtype: "dynamic8" | "udynamic8",
  values: Float32Array,
): Uint8Array<ArrayBuffer> {
  const n = values.length;
  const table = dtype === "dynamic8" ? SIGNED : UNSIGNED;
  const bytes = new Uint8Array(byteLength(dtype, [n]));
  blockScales(dtype, bytes, n).forEach((_, block, absmax) => {
    const start = block * DYNAMIC_BLOCK;
    const part = values.subarray(start, start + DYNAMIC_BLOCK);
    const full = part.length === DYNAMIC_BLOCK;
    const largest = part.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    absmax[block] = full ? largest : Math.max(largest, TINY);
    const inverse = f(1 / Math.max(largest, TINY));
    part.forEach((x, i) => {
      const scaled = full ? f(x * inverse) : f(x / absmax[block]!);
      bytes[start + i] = nearest(table, Math.min(1, Math.max(-1, scaled)));
    });
  });
  return bytes;
}

function blockScales(dtype: "dynamic8" | "udynamic8", bytes: Uint8Array, n: number): Float32Array {
  const at = layout(dtype, [n]);
  return new Float32Array(bytes.buffer, bytes.byteOffset + at.scales, Math.ceil(n / DYNAMIC_BLOCK));
}

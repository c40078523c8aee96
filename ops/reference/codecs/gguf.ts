/**
 * GGUF blocks: 32 or 256 elements with their scales, as in ggml. d and m are f16, codes unsigned.
 *
 * | type | bytes of a block | value |
 * |---|---|---|
 * | q4_0 | d, 16 nibble pairs | d · (code − 8) |
 * | q4_1 | d, m, 16 pairs | d · code + m |
 * | q5_0 | d, 32 high bits, 16 pairs | d · (code − 16) |
 * | q5_1 | d, m, 32 high bits, 16 pairs | d · code + m |
 * | q8_0 | d, 32 codes i8 | d · code |
 * | q4_k | d, m, 12 bytes of 6-bit scale and minimum, 128 pairs | d · scale · code − m · minimum |
 * | q5_k | d, m, 12 bytes, 32 bytes of high bits, 128 pairs | the same |
 * | q6_k | 128 low nibbles pairs, 64 bytes of high two bits, 16 scales i8, d | d · scale · (code − 32) |
 *
 * In a 32-element block, byte j holds element j in its low nibble and element j + 16 in its high one.
 */
import { ggufBlock, type GgufType } from "../../../tensor/dtype.ts";
import { encodeF16, f16Value } from "./half.ts";
import { typeError } from "../../../errors/error.ts";

const f = Math.fround;

/** Values of elements `from` … `to − 1`; both are at block boundaries, as rows are. */
export function decodeGguf(
  dtype: GgufType,
  bytes: Uint8Array,
  from: number,
  to: number,
): Float32Array<ArrayBuffer> {
  const block = ggufBlock(dtype);
  const out = new Float32Array(to - from);
  for (let i = from; i < to; i += block.elements) {
    const start = (i / block.elements) * block.bytes;
    decodeBlock(
      dtype,
      bytes.subarray(start, start + block.bytes),
      out.subarray(i - from, i - from + block.elements),
    );
  }
  return out;
}

function decodeBlock(dtype: GgufType, block: Uint8Array, out: Float32Array): void {
  const half = (at: number) => f16Value(block[at]! | (block[at + 1]! << 8));
  switch (dtype) {
    case "q4_0":
      return decode32(block, out, half(0), 8, -0, undefined, 2);
    case "q4_1":
      return decode32(block, out, half(0), 0, half(2), undefined, 4);
    case "q5_0":
      return decode32(block, out, half(0), 16, -0, 2, 6);
    case "q5_1":
      return decode32(block, out, half(0), 0, half(2), 4, 8);
    case "q8_0": {
      const d = half(0);
      for (let j = 0; j < 32; j++) out[j] = d * signed(block[2 + j]!);
      return;
    }
    case "q4_k":
      return decode256(block, out, half(0), half(2), undefined, 16);
    case "q5_k":
      return decode256(block, out, half(0), half(2), 16, 48);
    case "q6_k": {
      const d = half(208);
      for (let i = 0; i < 256; i++) {
        out[i] = d * signed(block[192 + (i >> 4)]!) * (code6(block, i) - 32);
      }
      return;
    }
    default:
      return dtype satisfies never;
  }
}

/**
 * value = d · (code − centre) + m; `high` is the offset at which the fifth bits start. Products of f16 and
 * small integers are exact. An m of −0 preserves the sign of a zero product, as ggml does.
 */
function decode32(
  block: Uint8Array,
  out: Float32Array,
  d: number,
  centre: number,
  m: number,
  high: number | undefined,
  low: number,
): void {
  for (let j = 0; j < 32; j++) {
    out[j] = d * (code32(block, j, high, low) - centre) + m;
  }
}

/** Code j of a block of 32. */
export function code32(block: Uint8Array, j: number, high: number | undefined, low: number): number {
  const fifth = high === undefined ? 0 : (block[high + (j >> 3)]! >> (j & 7)) & 1;
  return ((block[low + (j & 15)]! >> (j < 16 ? 0 : 4)) & 15) | (fifth << 4);
}

/** Eight groups of 32, each with a 6-bit scale and minimum. */
function decode256(
  block: Uint8Array,
  out: Float32Array,
  d: number,
  m: number,
  high: number | undefined,
  low: number,
): void {
  for (let i = 0; i < 256; i++) {
    const group = i >> 5;
    out[i] = d * sixBits(block, group, 0) * code256(block, i, high, low) - m * sixBits(block, group, 4);
  }
}

/** Code i of a block of eight groups. */
export function code256(block: Uint8Array, i: number, high: number | undefined, low: number): number {
  const group = i >> 5;
  const fifth = high === undefined ? 0 : (block[high + (i & 31)]! >> group) & 1;
  return ((block[low + 32 * (group >> 1) + (i & 31)]! >> (group & 1 ? 4 : 0)) & 15) | (fifth << 4);
}

/** Code i of a block of q6_k. */
export function code6(block: Uint8Array, i: number): number {
  const part = i >> 7; // two halves of 128
  const low = (block[64 * part + (i & 63)]! >> (i & 64 ? 4 : 0)) & 15;
  return low | (((block[128 + 32 * part + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3) << 4);
}

/** 6-bit number of a group: groups 0-3 have a byte each, 4-7 share a nibble and the top two bits of those bytes. */
export function sixBits(block: Uint8Array, group: number, kind: 0 | 4): number {
  const at = 4 + kind;
  if (group < 4) return block[at + group]! & 63;
  const nibble = (block[12 + group - 4]! >> kind) & 15;
  return nibble | ((block[at + group - 4]! >> 6) << 4);
}

/** A byte's value with its sign. */
export const signed = (byte: number): number => (byte << 24) >> 24;

/**
 * Bytes of f32 values as 32-element blocks.
 *
 * @throws {TypeError} for q4_k, q5_k and q6_k, which can only be read.
 */
export function encodeGguf(dtype: GgufType, values: Float32Array): Uint8Array<ArrayBuffer> {
  if (dtype === "q4_k" || dtype === "q5_k" || dtype === "q6_k") {
    throw typeError(
      "INVALID_TENSOR",
      `Cannot encode to ${dtype}: it can only be read; encode to q8_0, q5_1, q5_0, q4_1 or q4_0`,
    );
  }
  const block = ggufBlock(dtype);
  const bytes = new Uint8Array((values.length / block.elements) * block.bytes);
  for (let i = 0; i * block.elements < values.length; i++) {
    encodeBlock(dtype, values.subarray(32 * i, 32 * i + 32), bytes.subarray(i * block.bytes));
  }
  return bytes;
}

function encodeBlock(
  dtype: "q4_0" | "q4_1" | "q5_0" | "q5_1" | "q8_0",
  x: Float32Array,
  out: Uint8Array,
): void {
  if (dtype === "q8_0") {
    const d = f(x.reduce((m, v) => Math.max(m, Math.abs(v)), 0) / 127);
    const inverse = d === 0 ? 0 : f(1 / d);
    putHalves(out, [d]);
    // Rounds halves away from zero, like C's roundf.
    x.forEach((v, j) => out[2 + j] = Math.sign(v) * Math.floor(Math.abs(f(v * inverse)) + 0.5));
    return;
  }
  const bits = dtype === "q4_0" || dtype === "q4_1" ? 4 : 5;
  const top = 2 ** bits - 1;
  const symmetric = dtype === "q4_0" || dtype === "q5_0";
  const d = symmetric ? f(furthest(x) / -(2 ** (bits - 1))) : f(f(Math.max(...x) - Math.min(...x)) / top);
  const least = symmetric ? 0 : Math.min(...x);
  const inverse = d === 0 ? 0 : f(1 / d);
  const shift = symmetric ? 2 ** (bits - 1) + 0.5 : 0.5;
  const head = symmetric ? 2 : 4;
  putHalves(out, symmetric ? [d] : [d, least]);
  x.forEach((v, j) => {
    const code = Math.min(top, Math.trunc(f(f(f(v - least) * inverse) + shift)));
    out[head + (bits === 5 ? 4 : 0) + (j & 15)]! |= (code & 15) << (j < 16 ? 0 : 4);
    if (bits === 5) out[head + (j >> 3)]! |= (code >> 4) << (j & 7);
  });
}

/** The element of largest magnitude, with its sign; the first one on ties. */
function furthest(x: Float32Array): number {
  return x.reduce((m, v) => (Math.abs(v) > Math.abs(m) ? v : m), 0);
}

function putHalves(out: Uint8Array, values: readonly number[]): void {
  encodeF16(Float32Array.from(values)).forEach((bits, i) => {
    out[2 * i] = bits & 255;
    out[2 * i + 1] = bits >> 8;
  });
}

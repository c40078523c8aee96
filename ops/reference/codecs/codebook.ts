/**
 * Four-bit codes with one absmax per block of 64: nf4, fp4, int4, e2m1, e3m0, and the two whose scales are
 * quantized again (double quantization, arXiv 2305.14314 section 3). Codes and scales are those of
 * bitsandbytes 0.50 on a CPU; every rounding to f32 below affects a code there.
 */
import {
  byteLength,
  CODE_BLOCK,
  type CodebookType,
  type DoubleType,
  layout,
  NESTED_BLOCK,
} from "../../../tensor/dtype.ts";
import { book, type Codebook, nearest, SIGNED } from "../../../tensor/codebook.ts";

const f = Math.fround;
/** bitsandbytes' lower bound of a block's scale. */
const TINY = f(1e-38);

const isDouble = (dtype: CodebookType | DoubleType): dtype is DoubleType => dtype.endsWith("_double");
const base = (dtype: CodebookType | DoubleType): CodebookType =>
  dtype === "nf4_double" ? "nf4" : dtype === "fp4_double" ? "fp4" : dtype;

/** Values of elements `from` … `to − 1` of n elements stored as four-bit codes. */
export function decodeCodebook(
  dtype: CodebookType | DoubleType,
  bytes: Uint8Array,
  n: number,
  from: number,
  to: number,
): Float32Array<ArrayBuffer> {
  const { values } = book(base(dtype));
  const absmax = scales(dtype, bytes, n);
  const out = new Float32Array(to - from);
  for (let i = from; i < to; i++) {
    const code = (bytes[i >> 1]! >> (i & 1 ? 0 : 4)) & 15;
    out[i - from] = values[code]! * absmax[Math.floor(i / CODE_BLOCK)]!;
  }
  return out;
}

/** The block scales, [⌈n/64⌉] f32: stored ones, or map[u8] · nested + offset. */
export function scales(dtype: CodebookType | DoubleType, bytes: Uint8Array, n: number): Float32Array {
  const at = layout(dtype, [n]);
  const blocks = Math.ceil(n / CODE_BLOCK);
  if (!isDouble(dtype)) return floats(bytes, at.scales, blocks);
  const nested = floats(bytes, at.nested, Math.ceil(blocks / NESTED_BLOCK));
  const offset = floats(bytes, at.offset, 1)[0]!;
  const codes = bytes.subarray(at.scales, at.scales + blocks);
  return Float32Array.from(
    codes,
    (code, i) => f(SIGNED.values[code]! * nested[Math.floor(i / NESTED_BLOCK)]!) + offset,
  );
}

/** Bytes of f32 values as four-bit codes. */
export function encodeCodebook(
  dtype: CodebookType | DoubleType,
  values: Float32Array,
): Uint8Array<ArrayBuffer> {
  const n = values.length;
  const at = layout(dtype, [n]);
  const bytes = new Uint8Array(byteLength(dtype, [n]));
  const blocks = Math.ceil(n / CODE_BLOCK);
  const absmax = new Float32Array(blocks);
  const table = book(base(dtype));
  for (let block = 0; block < blocks; block++) {
    const start = block * CODE_BLOCK;
    absmax[block] = encodeBlock(table, values.subarray(start, start + CODE_BLOCK), bytes, start);
  }
  if (n % 2 === 1) bytes[n >> 1]! |= nearest(table, 0);
  if (isDouble(dtype)) encodeScales(absmax, bytes, at);
  else floats(bytes, at.scales, blocks).set(absmax);
  return bytes;
}

/** Writes one block's codes and returns its scale. A full block multiplies by 1/absmax, a partial one divides. */
function encodeBlock(table: Codebook, block: Float32Array, bytes: Uint8Array, start: number): number {
  const full = block.length === CODE_BLOCK;
  const largest = block.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  const absmax = full ? largest : Math.max(largest, TINY);
  const inverse = f(1 / Math.max(absmax, TINY));
  block.forEach((x, i) => {
    const scaled = full ? f(x * inverse) : f(x / absmax);
    const code = nearest(table, Math.min(1, Math.max(-1, scaled)));
    bytes[(start + i) >> 1]! |= i & 1 ? code : code << 4;
  });
  return absmax;
}

/** Second level: scales less their mean, as dynamic 8-bit codes with one f32 per block of 256. */
function encodeScales(absmax: Float32Array, bytes: Uint8Array, at: ReturnType<typeof layout>): void {
  const blocks = absmax.length;
  // torch's f32 mean depends on its vector width in the last bit, so the exact mean, rounded once, is used
  // here.
  const offset = blocks === 0 ? 0 : f(absmax.reduce((sum, x) => sum + x, 0) / blocks);
  const nested = encodeNested(absmax.map((x) => x - offset));
  bytes.set(nested.codes, at.scales);
  floats(bytes, at.nested, nested.absmax.length).set(nested.absmax);
  floats(bytes, at.offset, 1)[0] = offset;
}

/**
 * 8-bit codes and scales of block scales, with their mean already subtracted. bitsandbytes' CPU kernel first
 * rounds to a grid of 65536 steps on [-1, 1] and takes the nearest map value from there, and so does this
 * function: 0 becomes code 131, not 127. A block of zeros gets code 0.
 */
export function encodeNested(
  centred: Float32Array,
): { readonly codes: Uint8Array; readonly absmax: Float32Array } {
  const codes = new Uint8Array(centred.length);
  const absmax = new Float32Array(Math.ceil(centred.length / NESTED_BLOCK));
  for (let block = 0; block < absmax.length; block++) {
    const start = block * NESTED_BLOCK;
    const part = centred.subarray(start, start + NESTED_BLOCK);
    absmax[block] = part.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    if (absmax[block] === 0) continue;
    const inverse = f(1 / absmax[block]!);
    part.forEach((x, i) => {
      const scaled = Math.min(1, Math.max(-1, f(x * inverse)));
      const step = Math.floor(f(f(f(f(scaled + 1) * 0.5) * 65535) + 0.5));
      codes[start + i] = nearest(SIGNED, f((step / 65535) * 2 - 1));
    });
  }
  return { codes, absmax };
}

const floats = (bytes: Uint8Array, at: number, n: number): Float32Array =>
  new Float32Array(bytes.buffer, bytes.byteOffset + at, n);

/**
 * f32 to every dtype that can be written, with the codes of tensor/dtype.ts and bitsandbytes' roundings:
 * first the scale of every block, then the codes, one word per invocation. Scales go to a separate buffer,
 * from which they are copied after the codes. Checked byte for byte against the reference by
 * tests/ops/gpu/casts.test.ts; an adapter whose division is not correctly rounded may choose an adjacent
 * code at a midpoint.
 */
import { EACH, type Kernel } from "../kernel.ts";
import { SPECIAL } from "./math.ts";

/** f32 to halves, as bits; subnormal results are whole multiples of 2^-24. */
export const TO_HALF: string = `
fn to_f16(x: f32) -> u32 {
  let word = bitcast<u32>(x);
  let sign = (word >> 16u) & 0x8000u;
  let magnitude = word & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  if (magnitude >= 0x47800000u) { return sign | 0x7c00u; }
  if (magnitude < 0x38800000u) { return sign | u32(round(abs(x) * 16777216.0)); }
  let rebased = magnitude - (112u << 23u);
  return sign | ((rebased + 0xfffu + ((rebased >> 13u) & 1u)) >> 13u);
}
fn to_bf16(x: f32) -> u32 {
  let word = bitcast<u32>(x);
  if ((word & 0x7fffffffu) > 0x7f800000u) { return (word >> 16u) | 0x40u; }
  return (word + 0x7fffu + ((word >> 16u) & 1u)) >> 16u;
}
`;

/** Fills words. */
export const fillKernel: Kernel = {
  name: "fill",
  args: { n: "u32", word: "u32" },
  reads: {},
  writes: { y: "vec4<u32>" },
  code: `
fn element(i: u32) { y[i] = vec4<u32>(args.word); }
${EACH}`,
};

/**
 * f16, bf16, i32 and u8: KIND 0 … 3, one word per invocation. Floats are converted to integers by truncation.
 */
export const encodePlain: Kernel = {
  name: "encodePlain",
  args: { n: "u32", elements: "u32" },
  reads: { x: "f32" },
  writes: { y: "u32" },
  code: `${SPECIAL}${TO_HALF}
override KIND: u32;
fn value(i: u32) -> f32 {
  if (i < args.elements) { return x[i]; }
  return 0.0;
}
fn to_i32(x: f32) -> u32 {
  if (is_nan(x)) { return 0u; }
  if (x >= 2147483648.0) { return 0x7fffffffu; }
  if (x <= -2147483648.0) { return 0x80000000u; }
  return bitcast<u32>(i32(trunc(x)));
}
fn to_u8(x: f32) -> u32 {
  if (is_nan(x)) { return 0u; }
  return u32(clamp(trunc(x), 0.0, 255.0));
}
fn element(i: u32) {
  switch (KIND) {
    case 0u: { y[i] = to_f16(value(2u * i)) | (to_f16(value(2u * i + 1u)) << 16u); }
    case 1u: { y[i] = to_bf16(value(2u * i)) | (to_bf16(value(2u * i + 1u)) << 16u); }
    case 2u: { y[i] = to_i32(value(i)); }
    default: {
      let at = 4u * i;
      y[i] = to_u8(value(at)) | (to_u8(value(at + 1u)) << 8u) | (to_u8(value(at + 2u)) << 16u) |
        (to_u8(value(at + 3u)) << 24u);
    }
  }
}
${EACH}`,
};

/** y[block] = max |x| over `length` elements; a last, partial block gives at least 1e-38 where FLOOR = 1. */
export const absmaxKernel: Kernel = {
  name: "absmax",
  args: { n: "u32", length: "u32", elements: "u32", firstBlock: "u32" },
  reads: { x: "f32" },
  writes: { y: "u32" },
  code: `
override FLOOR: u32;
fn element(i: u32) {
  let start = i * args.length;
  let end = min(start + args.length, args.elements);
  var largest = 0u; // magnitudes order like their bits, and subnormal ones stay
  for (var j = start; j < end; j++) { largest = max(largest, bitcast<u32>(x[j]) & 0x7fffffffu); }
  if (FLOOR == 1u && end - start < args.length) { largest = max(largest, 0x006ce3eeu); }
  y[args.firstBlock + i] = largest;
}
${EACH}`,
};

/** The code of the nearest value of a table; ties go to the lower one. */
export const NEAREST: string = `
fn nearest(value: f32, bounds: u32, count: u32) -> u32 {
  var low = 0u;
  var high = count;
  while (low < high) {
    let middle = (low + high) >> 1u;
    if (tables[bounds + middle] < value) { low = middle + 1u; } else { high = middle; }
  }
  return low;
}
`;

/** value / absmax within [-1, 1]: a full block multiplies by 1 / absmax, a partial one divides; blocks of zeros give 0. */
const SCALED = `
fn scaled(value: f32, absmax: u32, full: bool) -> f32 {
  if (absmax < 0x00800000u) { return 0.0; }
  let largest = bitcast<f32>(absmax);
  var quotient = value / largest;
  if (full) {
    let inverse = 1.0 / largest;
    quotient = value * inverse;
  }
  return clamp(quotient, -1.0, 1.0);
}
`;

const CODES_ARGS = {
  n: "u32",
  elements: "u32",
  first: "u32",
  total: "u32",
  width: "u32",
  boundsAt: "u32",
  count: "u32",
  codesAt: "u32",
} as const;

/** Four-bit codes, eight per word, element 2k in the high nibble; x starts at element `first` of `total`. */
export const encodeFour: Kernel = {
  name: "encodeFour",
  args: CODES_ARGS,
  reads: { x: "f32", absmax: "u32", tables: "f32" },
  writes: { y: "u32" },
  code: `${NEAREST}${SCALED}
fn code(i: u32) -> u32 {
  let global = args.first + i;
  var value = 0.0;
  if (i < args.elements) {
    let block = global / 64u;
    value = scaled(x[i], absmax[block], 64u * (block + 1u) <= args.total);
  } else if (global > args.total || args.total % 2u == 0u) {
    return 0u; // padding; the element that pairs with the last one of an odd number is a zero
  }
  return u32(tables[args.codesAt + nearest(value, args.boundsAt, args.count)]);
}
fn element(i: u32) {
  var word = 0u;
  for (var k = 0u; k < 8u; k++) { word |= code(8u * i + k) << (8u * (k / 2u) + select(4u, 0u, k % 2u == 1u)); }
  y[i] = word;
}
${EACH}`,
};

/** Eight-bit codes, four per word: the dynamic map, or int8 with SIGNED = 1, whose scale is per row. */
export const encodeEight: Kernel = {
  name: "encodeEight",
  args: CODES_ARGS,
  reads: { x: "f32", absmax: "u32", tables: "f32" },
  writes: { y: "u32" },
  code: `${NEAREST}${SCALED}
override SIGNED: u32;
fn code(i: u32) -> u32 {
  if (i >= args.elements) { return 0u; }
  let global = args.first + i;
  if (SIGNED == 1u) {
    let largest = absmax[global / args.width];
    if (largest < 0x00800000u) { return 0u; }
    let factor = 1.0 / bitcast<f32>(largest) * 127.0; // as torch divides 127 by it
    return bitcast<u32>(i32(round(x[i] * factor))) & 255u;
  }
  let block = global / 256u;
  let value = scaled(x[i], absmax[block], 256u * (block + 1u) <= args.total);
  return nearest(value, args.boundsAt, args.count);
}
fn element(i: u32) {
  var word = 0u;
  for (var k = 0u; k < 4u; k++) { word |= code(4u * i + k) << (8u * k); }
  y[i] = word;
}
${EACH}`,
};

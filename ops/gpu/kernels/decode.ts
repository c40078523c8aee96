/**
 * Numbers of every dtype, four at a time: `decode4(i)` gives the elements i … i + 3, i a multiple of 4. The layouts are
 * those of core/tensor/dtype.ts. A kernel that decodes reads `codes` (from element `first` on), `scales` and `tables`, and
 * is specialised by the dtype. Checked bit for bit against the reference by tests/ops/gpu_codecs.test.ts.
 */
import type { DType } from "../../../core/tensor/dtype.ts";
import { EACH, type Element, type Kernel } from "../kernel.ts";
import { SPECIAL } from "./math.ts";

/** The constant `DTYPE`. */
export const DTYPES: readonly DType[] = [
  ...["f32", "f16", "bf16", "i32", "u8", "int8"] as const,
  ...["nf4", "fp4", "int4", "e2m1", "e3m0", "nf4_double", "fp4_double", "dynamic8", "udynamic8"] as const,
  ...["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q5_k", "q6_k"] as const,
];

/** Buffers of a kernel that decodes. */
export const CODED: Readonly<Record<"codes" | "scales" | "tables", Element>> = {
  codes: "u32",
  scales: "u32",
  tables: "f32",
};

/**
 * Arguments of a kernel that decodes: elements of a row; the element at which `codes` starts; words of `scales` at which
 * scales, second-level scales and their offset lie; where the values of the codebook and of the second level start.
 */
export const DECODE_ARGS = {
  width: "u32",
  first: "u32",
  scalesAt: "u32",
  nestedAt: "u32",
  offsetAt: "u32",
  valuesAt: "u32",
  mapAt: "u32",
} as const;

/** f16 bits as f32, exactly. */
export const HALF: string = `
fn half(bits: u32) -> f32 {
  let exponent = (bits >> 10u) & 31u;
  let fraction = bits & 1023u;
  let sign = (bits & 0x8000u) << 16u;
  if (exponent == 0u) { return bitcast<f32>(bitcast<u32>(f32(fraction) * 5.9604645e-8) | sign); }
  let widened = select(exponent + 112u, 255u, exponent == 31u);
  return bitcast<f32>(sign | (widened << 23u) | (fraction << 13u));
}
`;

/** The functions. */
export const DECODE: string = `${SPECIAL}${HALF}
override DTYPE: u32;

fn bytes_of(word: u32) -> vec4<u32> { return (vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u); }
fn signed_bytes_of(word: u32) -> vec4<f32> {
  return vec4<f32>((vec4<i32>(bytes_of(word)) << vec4<u32>(24u)) >> vec4<u32>(24u));
}
/** The four bytes from any byte on. */
fn word_at(byte: u32) -> u32 {
  let shift = (byte & 3u) * 8u;
  let low = codes[byte >> 2u];
  if (shift == 0u) { return low; }
  return (low >> shift) | (codes[(byte >> 2u) + 1u] << (32u - shift));
}
fn half_at(byte: u32) -> f32 { return half((codes[byte >> 2u] >> ((byte & 2u) * 8u)) & 0xffffu); }
fn byte_at(byte: u32) -> u32 { return (codes[byte >> 2u] >> ((byte & 3u) * 8u)) & 255u; }
fn scale(index: u32) -> f32 { return bitcast<f32>(scales[args.scalesAt + index]); }
fn byte_scale(index: u32) -> u32 { return (scales[args.scalesAt + (index >> 2u)] >> ((index & 3u) * 8u)) & 255u; }

fn absmax4(block: u32) -> f32 {
  if (DTYPE < 11u) { return scale(block); }
  let product = tables[args.mapAt + byte_scale(block)] * bitcast<f32>(scales[args.nestedAt + block / 256u]);
  return product + bitcast<f32>(scales[args.offsetAt]);
}
fn nibbles(i: u32) -> vec4<u32> {
  let local = i - args.first;
  let pair = codes[local >> 3u] >> ((local & 7u) * 4u);
  return (vec4<u32>(pair) >> vec4<u32>(4u, 0u, 12u, 8u)) & vec4<u32>(15u);
}
/** Blocks of 32 with four or five bits: code bytes at low, fifth bits at high (0: none). */
fn block32(base: u32, j: u32, low: u32, high: u32) -> vec4<f32> {
  let word = word_at(base + low + (j & 15u));
  var code = bytes_of((word >> select(4u, 0u, j < 16u)) & 0x0f0f0f0fu);
  if (high != 0u) {
    let fifth = vec4<u32>(word_at(base + high) >> j) >> vec4<u32>(0u, 1u, 2u, 3u);
    code |= (fifth & vec4<u32>(1u)) << vec4<u32>(4u);
  }
  return vec4<f32>(code);
}
/** 6-bit number of a group: groups 0-3 have a byte each, 4-7 share a nibble and the top two bits of those bytes. */
fn six_bits(base: u32, group: u32, minimum: u32) -> f32 {
  let at = base + 4u + minimum;
  if (group < 4u) { return f32(byte_at(at + group) & 63u); }
  let nibble = (byte_at(base + 12u + group - 4u) >> minimum) & 15u;
  return f32(nibble | ((byte_at(at + group - 4u) >> 6u) << 4u));
}
fn block256(base: u32, j: u32, low: u32, high: u32) -> vec4<f32> {
  let group = j >> 5u;
  let word = word_at(base + low + 32u * (group >> 1u) + (j & 31u));
  var code = bytes_of((word >> ((group & 1u) * 4u)) & 0x0f0f0f0fu);
  if (high != 0u) {
    code |= (bytes_of(word_at(base + high + (j & 31u)) >> group) & vec4<u32>(1u)) << vec4<u32>(4u);
  }
  let d = half_at(base) * six_bits(base, group, 0u);
  let m = half_at(base + 2u) * six_bits(base, group, 4u);
  return d * vec4<f32>(code) - vec4<f32>(m);
}
fn six_bit_block(base: u32, j: u32) -> vec4<f32> {
  let part = j >> 7u;
  let low = (word_at(base + 64u * part + (j & 63u)) >> select(0u, 4u, (j & 64u) != 0u)) & 0x0f0f0f0fu;
  let high = (word_at(base + 128u + 32u * part + (j & 31u)) >> (2u * ((j >> 5u) & 3u))) & 0x03030303u;
  let code = vec4<f32>(bytes_of(low | (high << 4u))) - vec4<f32>(32.0);
  let group = byte_at(base + 192u + (j >> 4u));
  return half_at(base + 208u) * f32(i32(group << 24u) >> 24u) * code;
}
fn decode4(i: u32) -> vec4<f32> {
  let local = i - args.first;
  let block = local >> 5u;
  let wide = local >> 8u;
  let j = local & 31u;
  let k = local & 255u;
  switch (DTYPE) {
    case 0u: { return bitcast<vec4<f32>>(vec4<u32>(codes[local], codes[local + 1u], codes[local + 2u], codes[local + 3u])); }
    case 1u: {
      let a = codes[local >> 1u];
      let b = codes[(local >> 1u) + 1u];
      return vec4<f32>(half(a & 0xffffu), half(a >> 16u), half(b & 0xffffu), half(b >> 16u));
    }
    case 2u: {
      let a = codes[local >> 1u];
      let b = codes[(local >> 1u) + 1u];
      return bitcast<vec4<f32>>(vec4<u32>(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u));
    }
    case 3u: { return vec4<f32>(vec4<i32>(vec4<u32>(codes[local], codes[local + 1u], codes[local + 2u], codes[local + 3u]))); }
    case 4u: { return vec4<f32>(bytes_of(codes[local >> 2u])); }
    case 5u: {
      let rows = (vec4<u32>(i) + vec4<u32>(0u, 1u, 2u, 3u)) / vec4<u32>(args.width);
      let absmax = vec4<f32>(scale(rows.x), scale(rows.y), scale(rows.z), scale(rows.w));
      return signed_bytes_of(codes[local >> 2u]) * absmax * 7.874015718698502e-3;
    }
    case 6u, 7u, 8u, 9u, 10u, 11u, 12u: {
      let code = nibbles(i) + vec4<u32>(args.valuesAt);
      let value = vec4<f32>(tables[code.x], tables[code.y], tables[code.z], tables[code.w]);
      return value * absmax4(i / 64u);
    }
    case 13u, 14u: {
      let code = bytes_of(codes[local >> 2u]) + vec4<u32>(args.valuesAt);
      let value = vec4<f32>(tables[code.x], tables[code.y], tables[code.z], tables[code.w]);
      return value * scale(i / 256u);
    }
    case 15u: { return half_at(block * 18u) * (block32(block * 18u, j, 2u, 0u) - vec4<f32>(8.0)); }
    case 16u: { return half_at(block * 20u) * block32(block * 20u, j, 4u, 0u) + vec4<f32>(half_at(block * 20u + 2u)); }
    case 17u: { return half_at(block * 22u) * (block32(block * 22u, j, 6u, 2u) - vec4<f32>(16.0)); }
    case 18u: { return half_at(block * 24u) * block32(block * 24u, j, 8u, 4u) + vec4<f32>(half_at(block * 24u + 2u)); }
    case 19u: { return half_at(block * 34u) * signed_bytes_of(word_at(block * 34u + 2u + j)); }
    case 20u: { return block256(wide * 144u, k, 16u, 0u); }
    case 21u: { return block256(wide * 176u, k, 48u, 16u); }
    default: { return six_bit_block(wide * 210u, k); }
  }
}
`;

/** y[i] = the number that element i stands for; an invocation decodes four. */
export const decodeKernel: Kernel = {
  name: "decode",
  args: { n: "u32", ...DECODE_ARGS },
  reads: CODED,
  writes: { y: "vec4<f32>" },
  code: `${DECODE}
fn element(i: u32) { y[i] = decode4(args.first + 4u * i); }
${EACH}`,
};

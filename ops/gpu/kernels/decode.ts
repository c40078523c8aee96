/**
 * Values of every dtype, four at a time: `decode4(i)` returns the elements i … i + 3, i a multiple of 4. The
 * layouts are those of tensor/dtype.ts. A kernel that decodes reads `codes` (from element `first` on),
 * `scales` and `tables`. Each dtype has its own function body: a switch over all of them would be compiled
 * once for every value that a product unrolls. Checked bit for bit against the reference by
 * tests/ops/gpu/casts.test.ts.
 */
import type { DType } from "../../../tensor/dtype.ts";
import { EACH, type Element, type Kernel } from "../kernel.ts";
import { INVERSE_127_AT } from "../tables.ts";
import { SPECIAL } from "./math.ts";

/** Buffers of a kernel that decodes. */
export const CODED: Readonly<Record<"codes" | "scales" | "tables", Element>> = {
  codes: "u32",
  scales: "u32",
  tables: "f32",
};

/**
 * Arguments of a kernel that decodes: elements of a row; the element at which `codes` starts; offsets in
 * words of scales, second-level scales and their offset in `scales`; where the values of the codebook and of
 * the second level start.
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

/** Code shared by the function bodies. */
const DECODE = `${SPECIAL}${HALF}

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
`;

/** A codebook's value of four codes times the scale of their block. */
const FOUR_BIT = `let code = nibbles(i) + vec4<u32>(args.valuesAt);
  let value = vec4<f32>(tables[code.x], tables[code.y], tables[code.z], tables[code.w]);`;
const SINGLE = `${FOUR_BIT}
  return value * scale(i / 64u);`;
const DOUBLE = `${FOUR_BIT}
  let block = i / 64u;
  let product = tables[args.mapAt + byte_scale(block)] * bitcast<f32>(scales[args.nestedAt + block / 256u]);
  return value * (product + bitcast<f32>(scales[args.offsetAt]));`;
const DYNAMIC = `let code = bytes_of(codes[local >> 2u]) + vec4<u32>(args.valuesAt);
  let value = vec4<f32>(tables[code.x], tables[code.y], tables[code.z], tables[code.w]);
  return value * scale(i / 256u);`;
const WORDS = "vec4<u32>(codes[local], codes[local + 1u], codes[local + 2u], codes[local + 3u])";
const PAIRS = "let a = codes[local >> 1u];\n  let b = codes[(local >> 1u) + 1u];\n  ";
/** GGUF blocks of 32 start at `base`, those of 256 as well; j is the element within. */
const SMALL = (bytes: number, value: string): string =>
  `let base = (local >> 5u) * ${bytes}u;\n  let j = local & 31u;\n  return ${value};`;
const LARGE = (bytes: number, value: string): string =>
  `let base = (local >> 8u) * ${bytes}u;\n  let j = local & 255u;\n  return ${value};`;

/** Bodies of `decode4(i)`; `local` is i minus the element at which `codes` starts. */
const BODIES: { readonly [dtype in DType]: string } = {
  f32: `return bitcast<vec4<f32>>(${WORDS});`,
  f16: `${PAIRS}return vec4<f32>(half(a & 0xffffu), half(a >> 16u), half(b & 0xffffu), half(b >> 16u));`,
  bf16: `${PAIRS}return bitcast<vec4<f32>>(vec4<u32>(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u));`,
  i32: `return vec4<f32>(bitcast<vec4<i32>>(${WORDS}));`,
  u8: "return vec4<f32>(bytes_of(codes[local >> 2u]));",
  int8: `let rows = (vec4<u32>(i) + vec4<u32>(0u, 1u, 2u, 3u)) / vec4<u32>(args.width);
  let absmax = vec4<f32>(scale(rows.x), scale(rows.y), scale(rows.z), scale(rows.w));
  return signed_bytes_of(codes[local >> 2u]) * absmax * tables[${INVERSE_127_AT}];`,
  nf4: SINGLE,
  fp4: SINGLE,
  int4: SINGLE,
  e2m1: SINGLE,
  e3m0: SINGLE,
  nf4_double: DOUBLE,
  fp4_double: DOUBLE,
  dynamic8: DYNAMIC,
  udynamic8: DYNAMIC,
  q4_0: SMALL(18, "half_at(base) * (block32(base, j, 2u, 0u) - vec4<f32>(8.0))"),
  q4_1: SMALL(20, "half_at(base) * block32(base, j, 4u, 0u) + vec4<f32>(half_at(base + 2u))"),
  q5_0: SMALL(22, "half_at(base) * (block32(base, j, 6u, 2u) - vec4<f32>(16.0))"),
  q5_1: SMALL(24, "half_at(base) * block32(base, j, 8u, 4u) + vec4<f32>(half_at(base + 2u))"),
  q8_0: SMALL(34, "half_at(base) * signed_bytes_of(word_at(base + 2u + j))"),
  q4_k: LARGE(144, "block256(base, j, 16u, 0u)"),
  q5_k: LARGE(176, "block256(base, j, 48u, 16u)"),
  q6_k: LARGE(210, "six_bit_block(base, j)"),
};

/** The functions for a dtype: `decode4` and what it needs. */
export const decoder = (dtype: DType): string =>
  `${DECODE}
fn decode4(i: u32) -> vec4<f32> {
  let local = i - args.first;
  ${BODIES[dtype]}
}
`;

/** y[i] = the value of element i; an invocation decodes four. */
export const decodeKernel = (dtype: DType): Kernel => ({
  name: `decode ${dtype}`,
  args: { n: "u32", ...DECODE_ARGS },
  reads: CODED,
  writes: { y: "vec4<f32>" },
  code: `${decoder(dtype)}
fn element(i: u32) { y[i] = decode4(args.first + 4u * i); }
${EACH}`,
});

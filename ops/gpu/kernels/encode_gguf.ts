/**
 * GGUF blocks of 32 with their scales inside, as ggml writes them: q4_0, q4_1, q5_0, q5_1, q8_0. An invocation writes two
 * blocks, because a pair of blocks is a whole number of words. Checked byte for byte against the reference by
 * tests/ops/gpu/casts.test.ts.
 */
import { EACH, type Kernel } from "../kernel.ts";
import { TO_HALF } from "./encode.ts";

/** TYPE 0 … 4 in the order above; `bytes` of a block. */
export const encodeBlocks: Kernel = {
  name: "encodeBlocks",
  args: { n: "u32", blocks: "u32", bytes: "u32" },
  reads: { x: "f32" },
  writes: { y: "u32" },
  code: `${TO_HALF}
override TYPE: u32;
var<private> words: array<u32, 17>;
fn put(byte: u32, value: u32) { words[byte / 4u] |= (value & 255u) << (8u * (byte % 4u)); }
fn put_half(byte: u32, value: f32) {
  let bits = to_f16(value);
  put(byte, bits);
  put(byte + 1u, bits >> 8u);
}
fn eight_bits(at: u32, start: u32) {
  var largest = 0.0;
  for (var j = 0u; j < 32u; j++) { largest = max(largest, abs(x[start + j])); }
  let d = largest / 127.0;
  var inverse = 0.0;
  if (d != 0.0) { inverse = 1.0 / d; }
  put_half(at, d);
  for (var j = 0u; j < 32u; j++) {
    let scaled = x[start + j] * inverse;
    let away = floor(abs(scaled) + 0.5); // halves away from zero, as C's roundf
    put(at + 2u + j, bitcast<u32>(i32(select(away, -away, scaled < 0.0))));
  }
}
fn few_bits(at: u32, start: u32) {
  let five = TYPE >= 2u;
  let symmetric = TYPE % 2u == 0u;
  let top = select(15.0, 31.0, five);
  var furthest = 0.0;
  var least = x[start];
  var most = x[start];
  for (var j = 0u; j < 32u; j++) {
    let v = x[start + j];
    if (abs(v) > abs(furthest)) { furthest = v; }
    least = min(least, v);
    most = max(most, v);
  }
  let d = select((most - least) / top, furthest / select(-8.0, -16.0, five), symmetric);
  let low = select(least, 0.0, symmetric);
  var inverse = 0.0;
  if (d != 0.0) { inverse = 1.0 / d; }
  put_half(at, d);
  if (!symmetric) { put_half(at + 2u, least); }
  let head = at + select(4u, 2u, symmetric);
  for (var j = 0u; j < 32u; j++) {
    let product = (x[start + j] - low) * inverse;
    let code = u32(min(top, trunc(product + select(0.5, select(8.5, 16.5, five), symmetric))));
    put(head + select(0u, 4u, five) + (j & 15u), (code & 15u) << select(4u, 0u, j < 16u));
    if (five) { put(head + (j >> 3u), (code >> 4u) << (j & 7u)); }
  }
}
fn element(i: u32) {
  for (var k = 0u; k < 17u; k++) { words[k] = 0u; }
  for (var half = 0u; half < 2u; half++) {
    let block = 2u * i + half;
    if (block >= args.blocks) { continue; }
    if (TYPE == 4u) { eight_bits(half * args.bytes, 32u * block); } else { few_bits(half * args.bytes, 32u * block); }
  }
  let pair = args.bytes / 2u;
  for (var k = 0u; k < pair; k++) { y[pair * i + k] = words[k]; }
}
${EACH}`,
};

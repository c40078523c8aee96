/**
 * Double quantization (arXiv 2305.14314, section 3): the block scales minus their mean, as dynamic 8-bit
 * codes with one f32 per block of 256. Checked byte for byte against the reference by
 * tests/ops/gpu/casts.test.ts.
 */
import { EACH, type Kernel } from "../kernel.ts";
import { STEPS_AT } from "../tables.ts";
import { OPAQUE } from "./math.ts";
import { NEAREST } from "./encode.ts";

/**
 * The mean of n values, rounded once: sums in pairs of f32 (Knuth's two-sum), 64 lanes of one workgroup, then
 * lane 0 adds the 64 pairs and corrects the quotient by its remainder, whose products have twelve bits per
 * factor and so are exact.
 */
export const meanKernel: Kernel = {
  name: "mean",
  args: { n: "u32", zero: "u32" },
  reads: { x: "f32" },
  writes: { y: "f32" },
  code: `${OPAQUE}
var<workgroup> highs: array<f32, 64>;
var<workgroup> lows: array<f32, 64>;
fn plus(sum: vec2<f32>, x: f32) -> vec2<f32> {
  let s = opaque(sum.x + x);
  let back = opaque(s - sum.x);
  return vec2<f32>(s, sum.y + (opaque(sum.x - opaque(s - back)) + opaque(x - back)));
}
fn minus_product(rest: f32, a: f32, b: f32) -> f32 { return opaque(rest - opaque(a * b)); }
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = vec2<f32>(0.0);
  for (var i = lane; i < args.n; i += 64u) { sum = plus(sum, x[i]); }
  highs[lane] = sum.x;
  lows[lane] = sum.y;
  workgroupBarrier();
  if (lane == 0u) {
    sum = vec2<f32>(0.0);
    for (var i = 0u; i < 64u; i++) {
      sum = plus(sum, highs[i]);
      sum.y += lows[i];
    }
    let n = f32(args.n);
    let quotient = opaque((sum.x + sum.y) / n);
    let upper = bitcast<f32>(bitcast<u32>(quotient) & 0xfffff000u);
    let lower = opaque(quotient - upper);
    let many = f32(args.n & 0xfffff000u);
    let few = f32(args.n & 0xfffu);
    var rest = minus_product(sum.x, upper, many);
    rest = minus_product(rest, upper, few);
    rest = minus_product(rest, lower, many);
    rest = minus_product(rest, lower, few);
    y[0] = quotient + (rest + sum.y) / n;
  }
}
`,
};

/**
 * Codes and scale of 256 block scales per invocation. bitsandbytes' CPU kernel first rounds to a grid of
 * 65536 steps on [-1, 1]; a block of zeros gets code 0.
 */
export const nestedKernel: Kernel = {
  name: "nested",
  args: { n: "u32", blocks: "u32", boundsAt: "u32", count: "u32" },
  reads: { absmax: "f32", mean: "f32", tables: "f32" },
  writes: { y: "u32", nested: "f32" },
  code: `${NEAREST}
fn element(i: u32) {
  let start = 256u * i;
  let end = min(start + 256u, args.blocks);
  var largest = 0.0;
  for (var j = start; j < end; j++) { largest = max(largest, abs(absmax[j] - mean[0])); }
  nested[i] = largest;
  for (var word = start / 4u; word < (end + 3u) / 4u; word++) {
    var codes = 0u;
    for (var k = 0u; k < 4u; k++) {
      let j = 4u * word + k;
      if (j >= end || largest == 0.0) { continue; }
      let inverse = 1.0 / largest;
      let scaled = clamp((absmax[j] - mean[0]) * inverse, -1.0, 1.0);
      let grid = floor((scaled + 1.0) * 0.5 * 65535.0 + 0.5);
      codes |= nearest((2.0 * grid - 65535.0) / tables[${STEPS_AT}], args.boundsAt, args.count) << (8u * k);
    }
    y[word] = codes;
  }
}
${EACH}`,
};

/**
 * Rotary positions, half-split: out[j] = x[j] cos − x[j + d/2] sin, out[j + d/2] = x[j + d/2] cos + x[j] sin; and the random
 * stream (Threefry-2x32-20, tensor/key.ts). Checked against the reference by tests/ops/gpu/rows.test.ts.
 */
import { EACH, type Kernel } from "../kernel.ts";

/**
 * One invocation per pair; a batch item has `tokens` tokens, and its tables start `across` rows after the
 * previous one's; `sign` −1 rotates back.
 */
export const ropeKernel: Kernel = {
  name: "rope",
  args: {
    ...{ n: "u32", heads: "u32", half: "u32", tokens: "u32", across: "u32", sign: "f32" } as const,
    ...{ atX: "u32", atTable: "u32" } as const,
  },
  reads: { x: "f32", cosines: "f32", sines: "f32" },
  writes: { y: "f32" },
  code: `
fn element(i: u32) {
  let head = i / args.half;
  let j = i % args.half;
  let token = head / args.heads;
  let row = (token / args.tokens) * args.across + token % args.tokens;
  let angle = args.atTable + row * args.half + j;
  let c = cosines[angle];
  let s = args.sign * sines[angle];
  let at = args.atX + head * 2u * args.half + j;
  let first = x[at];
  let second = x[at + args.half];
  y[at] = first * c - second * s;
  y[at + args.half] = second * c + first * s;
}
${EACH}`,
};

/** Two words per counter, one counter per invocation: the top 24 bits times 2^-24. */
export const uniformKernel: Kernel = {
  name: "uniform",
  args: { n: "u32", first: "u32", a: "u32", b: "u32" },
  reads: {},
  writes: { y: "vec2<f32>" },
  code: `
fn threefry(counter: u32) -> vec2<u32> {
  let parity = args.a ^ args.b ^ 0x1bd11bdau;
  var schedule = array<u32, 3>(args.a, args.b, parity);
  var rotations = array<vec4<u32>, 2>(vec4<u32>(13u, 15u, 26u, 6u), vec4<u32>(17u, 29u, 16u, 24u));
  var x = vec2<u32>(counter + args.a, args.b);
  for (var group = 0u; group < 5u; group++) {
    for (var i = 0u; i < 4u; i++) {
      let bits = rotations[group % 2u][i];
      x.x += x.y;
      x.y = ((x.y << bits) | (x.y >> (32u - bits))) ^ x.x;
    }
    x.x += schedule[(group + 1u) % 3u];
    x.y += schedule[(group + 2u) % 3u] + group + 1u;
  }
  return x;
}
fn element(i: u32) { y[i] = vec2<f32>(threefry(args.first + i) >> vec2<u32>(8u)) * 5.9604645e-8; }
${EACH}`,
};

/**
 * How the invocations of a workgroup reduce values: sums and maxima over all LANES of them, in an order fixed
 * by their number and, with subgroups, by the adapter's subgroup size. Kernels with `lanes` get one of the
 * two forms below, and a `main` that runs their `fn row(r: u32, lane: u32)`; every lane must reach `total`
 * and `largest`. A maximum with a NaN is NaN. Both forms are checked against the reference by
 * tests/ops/gpu/rows.test.ts.
 */
import { GRID } from "../kernel.ts";

/** The form using workgroup memory: a tree. */
const BY_MEMORY = `
fn total(lane: u32, x: f32) -> f32 {
  lanes[lane] = x;
  workgroupBarrier();
  for (var step = LANES / 2u; step > 0u; step >>= 1u) {
    if (lane < step) { lanes[lane] += lanes[lane + step]; }
    workgroupBarrier();
  }
  let result = lanes[0];
  workgroupBarrier();
  return result;
}
fn largest(lane: u32, x: f32) -> f32 {
  lanes[lane] = x;
  workgroupBarrier();
  for (var step = LANES / 2u; step > 0u; step >>= 1u) {
    if (lane < step) { lanes[lane] = larger(lanes[lane], lanes[lane + step]); }
    workgroupBarrier();
  }
  let result = lanes[0];
  workgroupBarrier();
  return result;
}
`;

/**
 * The form using subgroups: one value per subgroup goes through workgroup memory. The result of subgroupMax
 * for NaN is unspecified, so maxima are taken over integers in the order of the floats, with NaN above all.
 */
const BY_SUBGROUPS = `
var<private> within: vec3<u32>; // the invocation's place in its subgroup, the subgroup's place, subgroups
fn shared_part(x: f32) {
  if (within.x == 0u) { lanes[within.y] = x; }
  workgroupBarrier();
}
fn total(lane: u32, x: f32) -> f32 {
  shared_part(subgroupAdd(x));
  var result = lanes[0];
  for (var j = 1u; j < within.z; j++) { result += lanes[j]; }
  workgroupBarrier();
  return result;
}
fn ordered(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(select(bits | 0x80000000u, ~bits, bits >= 0x80000000u), 0xffffffffu, is_nan(x));
}
fn unordered(key: u32) -> f32 {
  let value = bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
  return select(value, nan(), key == 0xffffffffu);
}
fn largest(lane: u32, x: f32) -> f32 {
  shared_part(unordered(subgroupMax(ordered(x))));
  var result = lanes[0];
  for (var j = 1u; j < within.z; j++) { result = larger(result, lanes[j]); }
  workgroupBarrier();
  return result;
}
`;

const main = (builtins: string, enter: string): string => `
@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  ${builtins}
) {
  ${enter}
  let r = group.x + group.y * ${GRID}u;
  if (r < args.rows) { row(r, lane); }
}
`;

const HEAD = `
override LANES: u32;
var<workgroup> lanes: array<f32, LANES>;
`;

const PLACES = `@builtin(subgroup_invocation_id) place: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32,`;

/** The code appended to kernels with `lanes`; it includes SPECIAL. */
export function lanesCode(subgroups: boolean): string {
  return subgroups
    ? `${HEAD}${BY_SUBGROUPS}${main(PLACES, "within = vec3<u32>(place, subgroup, subgroups);")}`
    : `${HEAD}${BY_MEMORY}${main("", "")}`;
}

/** A module that compiles where, and in the dialect in which, the form using subgroups does. */
export const SUBGROUP_PROBE: string = `
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(
  @builtin(local_invocation_index) lane: u32,
  ${PLACES}
) {
  y[lane] = subgroupAdd(f32(place + subgroup)) + f32(subgroupMax(subgroups));
}
`;

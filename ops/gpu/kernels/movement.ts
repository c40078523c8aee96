/**
 * Kernels that move elements: boxes, axes, rows and columns by index. One invocation an element (a word); elements of one
 * and two bytes are spread to words first and packed after. Checked against the reference by tests/ops/gpu_movement.test.ts.
 */
import { MARK } from "../checks.ts";
import { EACH, type Kernel } from "../kernel.ts";

/** y[to(i)] = x[from(i)] along a walk of the box; offsets are those of its corner, less where the bindings start. */
export const boxKernel: Kernel = {
  name: "box",
  args: {
    n: "u32",
    first: "u32",
    fromAt: "u32",
    toAt: "i32",
    sizes: "u32x8",
    stepsFrom: "u32x8",
    stepsTo: "u32x8",
  },
  reads: { x: "u32" },
  writes: { y: "u32" },
  code: `
override RANK: u32;
fn element(i: u32) {
  var rest = i + args.first;
  var source = args.fromAt;
  var to = u32(args.toAt);
  for (var d = 0u; d < RANK; d++) {
    let n = args.sizes[d / 4u][d % 4u];
    let c = rest % n;
    rest /= n;
    source += c * args.stepsFrom[d / 4u][d % 4u];
    to += c * args.stepsTo[d / 4u][d % 4u];
  }
  y[to] = x[source];
}
${EACH}`,
};

/** Elements of UNIT bytes as words of their own. */
export const spreadKernel: Kernel = {
  name: "spread",
  args: { n: "u32" },
  reads: { x: "u32" },
  writes: { y: "u32" },
  code: `
override UNIT: u32;
fn element(i: u32) {
  let byte = i * UNIT;
  y[i] = (x[byte / 4u] >> (8u * (byte % 4u))) & ((1u << (8u * UNIT)) - 1u);
}
${EACH}`,
};

/** The way back: words to elements of UNIT bytes, one packed word an invocation. */
export const packKernel: Kernel = {
  name: "pack",
  args: { n: "u32", elements: "u32" },
  reads: { x: "u32" },
  writes: { y: "u32" },
  code: `
override UNIT: u32;
fn element(i: u32) {
  let per = 4u / UNIT;
  var word = 0u;
  for (var k = 0u; k < per; k++) {
    let at = per * i + k;
    if (at < args.elements) { word |= x[at] << (8u * UNIT * k); }
  }
  y[i] = word;
}
${EACH}`,
};

/** out[j] += … in the order of i, without atomics on floats: which i comes first and last for each target, then chains. */
export const firstAndLast: Kernel = {
  name: "firstAndLast",
  args: { n: "u32", picks: "u32", width: "u32", slot: "u32" },
  reads: { ids: "i32" },
  writes: { first: "atomic<u32>", last: "atomic<u32>", marks: "atomic<u32>" },
  code: `${MARK}
fn element(i: u32) {
  let id = ids[i];
  if (id < 0 || u32(id) >= args.width) {
    mark(i, args.width);
    return;
  }
  let target_ = (i / args.picks) * args.width + u32(id);
  atomicMin(&first[target_], i);
  atomicMax(&last[target_], i);
}
${EACH}`,
};

/**
 * y[target, c] = Σ x[i, c] over the i of a target, in order: the invocation of the first i walks to the last one. Distinct
 * ids cost one step each; n equal ones cost n. Targets without an i were zeroed before. Targets below `low` or from
 * `high` on lie in other parts.
 */
export const addChains: Kernel = {
  name: "addChains",
  args: { n: "u32", picks: "u32", width: "u32", row: "u32", low: "u32", high: "u32" },
  reads: { x: "f32", ids: "i32", first: "u32", last: "u32" },
  writes: { y: "f32" },
  code: `
fn element(e: u32) {
  let i = e / args.row;
  let c = e % args.row;
  let id = ids[i];
  if (id < 0 || u32(id) >= args.width) { return; }
  let place = (i / args.picks) * args.width + u32(id);
  if (first[place] != i || place < args.low || place >= args.high) { return; }
  var sum = 0.0;
  for (var j = i; j <= last[place]; j++) {
    if (ids[j] == id) { sum += x[j * args.row + c]; }
  }
  y[(place - args.low) * args.row + c] = sum;
}
${EACH}`,
};

/** y[i, j] = x[i, ids[i, j]] along the last axis, words of any kind; a bad index gives 0 and a mark. */
export const gatherLastKernel: Kernel = {
  name: "gatherLast",
  args: { n: "u32", picks: "u32", width: "u32", slot: "u32" },
  reads: { x: "u32", ids: "i32" },
  writes: { y: "u32", marks: "atomic<u32>" },
  code: `${MARK}
fn element(i: u32) {
  let id = ids[i];
  if (id < 0 || u32(id) >= args.width) {
    mark(i, args.width);
    y[i] = 0u;
    return;
  }
  y[i] = x[(i / args.picks) * args.width + u32(id)];
}
${EACH}`,
};

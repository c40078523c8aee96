/**
 * Kernels that move elements: boxes, axes, rows and columns by index. One invocation per element (a word);
 * elements of one and two bytes are first unpacked to words and packed again afterwards. Checked against the
 * reference by tests/ops/gpu/moves.test.ts.
 */
import { MARK } from "../checks.ts";
import { EACH, type Kernel } from "../kernel.ts";

/** y[to(i)] = x[from(i)] along a walk of a box; `fromAt` and `toAt` are its corner in the bindings. */
export const boxKernel: Kernel = {
  name: "box",
  args: { n: "u32", fromAt: "u32", toAt: "u32", sizes: "u32x8", stepsFrom: "u32x8", stepsTo: "u32x8" },
  reads: { x: "u32" },
  writes: { y: "u32" },
  code: `
override RANK: u32;
fn element(i: u32) {
  var rest = i;
  var source = args.fromAt;
  var to = args.toAt;
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

/** Unpacks elements of UNIT bytes to one word each. */
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

/** The inverse: words to elements of UNIT bytes, one packed word per invocation. */
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

/**
 * out[j] += … in the order of i, without float atomics: finds the first and last i for each target from `low`
 * to `high`, from which chains are followed. The bound ids start at `firstId`, at offset `atIds`; n of them
 * are used.
 */
export const firstAndLast: Kernel = {
  name: "firstAndLast",
  args: {
    ...{ n: "u32", atIds: "u32", firstId: "u32", picks: "u32", width: "u32" } as const,
    ...{ low: "u32", high: "u32", slot: "u32" } as const,
  },
  reads: { ids: "i32" },
  writes: { first: "atomic<u32>", last: "atomic<u32>", marks: "atomic<u32>" },
  code: `${MARK}
fn element(i: u32) {
  let id = ids[args.atIds + i];
  if (id < 0 || u32(id) >= args.width) {
    mark(args.firstId + i, args.width);
    return;
  }
  let place = ((args.firstId + i) / args.picks) * args.width + u32(id);
  if (place < args.low || place >= args.high) { return; }
  atomicMin(&first[place - args.low], i);
  atomicMax(&last[place - args.low], i);
}
${EACH}`,
};

/**
 * y[target, c] += Σ x[i, c] over the i of a target, in order: the invocation of the first i proceeds to the
 * last one. Distinct ids cost one step each; n equal ones cost n. Targets without an i are unchanged; those
 * below `low` or from `high` on are in other parts.
 */
export const addChains: Kernel = {
  name: "addChains",
  args: {
    ...{ n: "u32", atIds: "u32", firstId: "u32", atX: "u32", atY: "u32", picks: "u32" } as const,
    ...{ width: "u32", row: "u32", low: "u32", high: "u32" } as const,
  },
  reads: { x: "f32", ids: "i32", first: "u32", last: "u32" },
  writes: { y: "f32" },
  code: `
fn element(e: u32) {
  let i = e / args.row;
  let c = e % args.row;
  let id = ids[args.atIds + i];
  if (id < 0 || u32(id) >= args.width) { return; }
  let place = ((args.firstId + i) / args.picks) * args.width + u32(id);
  if (place < args.low || place >= args.high) { return; }
  let target_ = place - args.low;
  if (first[target_] != i) { return; }
  let at = args.atY + target_ * args.row + c;
  var sum = y[at];
  for (var j = i; j <= last[target_]; j++) {
    if (ids[args.atIds + j] == id) { sum += x[args.atX + j * args.row + c]; }
  }
  y[at] = sum;
}
${EACH}`,
};

/**
 * y[i, j] = x[i, ids[i, j]] along the last axis, for the columns of x from `low` to `high`; words of any
 * type. An invalid index gives 0 and a mark. Rows of the box have `picks` of `across` ids in total; `firstId`
 * is the first of all.
 */
export const gatherLastKernel: Kernel = {
  name: "gatherLast",
  args: {
    ...{ n: "u32", picks: "u32", across: "u32", width: "u32", low: "u32", high: "u32" } as const,
    ...{ atX: "u32", atIds: "u32", atY: "u32", firstId: "u32", slot: "u32" } as const,
  },
  reads: { x: "u32", ids: "i32" },
  writes: { y: "u32", marks: "atomic<u32>" },
  code: `${MARK}
fn element(i: u32) {
  let r = i / args.picks;
  let at = r * args.across + i % args.picks;
  let id = ids[args.atIds + at];
  if (id < 0 || u32(id) >= args.width) {
    mark(args.firstId + at, args.width);
    y[args.atY + at] = 0u;
    return;
  }
  if (u32(id) < args.low || u32(id) >= args.high) { return; }
  y[args.atY + at] = x[args.atX + r * args.width + u32(id) - args.low];
}
${EACH}`,
};

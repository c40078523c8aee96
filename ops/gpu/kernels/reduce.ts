/**
 * Reductions of x seen as [outer, n, inner]. Sums of up to 16 elements are added to a total with compensation
 * (Kahan 1965), so long sums are more precise than f32. Checked against the reference by
 * tests/ops/gpu/rows.test.ts.
 */
import { EACH, type Kernel } from "../kernel.ts";
import { OPAQUE, SPECIAL } from "./math.ts";

/** OP 0 sum, 1 max, 2 min; `x` from element `at`, stepping. */
const FOLD = `${OPAQUE}
override OP: u32;
fn fold(at: u32, step: u32, count: u32) -> f32 {
  var result = 0.0;
  if (OP == 0u) {
    var lost = 0.0;
    for (var j = 0u; j < count; j += 16u) {
      var part = 0.0;
      for (var k = j; k < min(j + 16u, count); k++) { part += x[at + k * step]; }
      let sum = opaque(result + part);
      // What the addition lost, unless it is infinite.
      if (!is_infinite(sum) && !is_nan(sum)) {
        lost += select(part - (sum - result), result - (sum - part), abs(part) > abs(result));
      }
      result = sum;
    }
    return result + lost;
  }
  result = select(infinity(), -infinity(), OP == 1u);
  for (var j = 0u; j < count; j++) {
    let value = x[at + j * step];
    result = select(smaller(result, value), larger(result, value), OP == 1u);
  }
  return result;
}
`;

/**
 * Arguments of both kernels: x [outer, across, inner] starting at `atX`, of which `count` along across are
 * folded to `chunks` of `total`.
 */
const FOLDED = {
  ...{ across: "u32", count: "u32", inner: "u32", chunks: "u32", length: "u32" } as const,
  ...{ total: "u32", atX: "u32", atY: "u32", zero: "u32" } as const,
};

/** inner = 1: one workgroup per chunk of a row; y [rows, total]. */
export const reduceRowsKernel: Kernel = {
  name: "reduceRows",
  args: { rows: "u32", ...FOLDED },
  reads: { x: "f32" },
  writes: { y: "f32" },
  lanes: true,
  code: `${SPECIAL}${FOLD}
fn row(r: u32, lane: u32) {
  let chunk = r % args.chunks;
  let outer = r / args.chunks;
  let begin = chunk * args.length;
  let to = min(begin + args.length, args.count);
  let count = select(0u, (to - begin - lane + LANES - 1u) / LANES, begin + lane < to);
  var value = fold(args.atX + outer * args.across + begin + lane, LANES, count);
  if (OP == 0u) { value = total(lane, value); }
  if (OP == 1u) { value = largest(lane, value); }
  if (OP == 2u) { value = -largest(lane, -value); }
  if (lane == 0u) { y[args.atY + outer * args.total + chunk] = value; }
}
`,
};

/**
 * One invocation per sum of the first `columns` of inner: y [outer, total, inner], adjacent along inner. With
 * LATER = 1 it is combined with y from earlier pieces.
 */
export const reduceColumnsKernel: Kernel = {
  name: "reduceColumns",
  args: { n: "u32", columns: "u32", ...FOLDED },
  reads: { x: "f32" },
  writes: { y: "f32" },
  code: `${SPECIAL}${FOLD}
override LATER: u32;
fn element(i: u32) {
  let c = i % args.columns;
  let chunk = (i / args.columns) % args.chunks;
  let outer = i / (args.columns * args.chunks);
  let begin = chunk * args.length;
  let count = min(args.length, args.count - min(args.count, begin));
  let start = args.atX + (outer * args.across + begin) * args.inner + c;
  var value = fold(start, args.inner, count);
  let at = args.atY + (outer * args.total + chunk) * args.inner + c;
  if (LATER == 1u) {
    let before = y[at];
    if (OP == 0u) { value += before; }
    if (OP == 1u) { value = larger(before, value); }
    if (OP == 2u) { value = smaller(before, value); }
  }
  y[at] = value;
}
${EACH}`,
};

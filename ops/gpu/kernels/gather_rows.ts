/**
 * y[i] = table[ids[i]] over the first axis, decoded from any dtype; one invocation per element. Rows outside
 * the bound part of the table are handled by other calls; an invalid index gives zeros and a mark. Checked
 * against the reference by tests/ops/gpu/moves.test.ts and gpu_codecs.test.ts.
 */
import type { DType } from "../../../tensor/dtype.ts";
import { MARK } from "../checks.ts";
import { EACH, type Kernel } from "../kernel.ts";
import { CODED, DECODE_ARGS, decoder } from "./decode.ts";

/**
 * The table has `row` elements per row; its elements `first` to `end` are bound; `columns` columns starting
 * at `column`.
 */
export const gatherRowsKernel = (dtype: DType): Kernel => ({
  name: `gatherRows ${dtype}`,
  args: {
    ...{ n: "u32", row: "u32", rows: "u32", end: "u32", slot: "u32", column: "u32", columns: "u32" } as const,
    ...{ atIds: "u32", atY: "u32", firstId: "u32", ...DECODE_ARGS } as const,
  },
  reads: { ...CODED, ids: "i32" },
  writes: { y: "f32", marks: "atomic<u32>" },
  code: `${decoder(dtype)}${MARK}
fn element(i: u32) {
  let at = i / args.columns;
  let c = i % args.columns;
  let id = ids[args.atIds + at];
  let to = args.atY + at * args.row + c;
  if (id < 0 || u32(id) >= args.rows) {
    mark(args.firstId + at, args.rows);
    y[to] = 0.0;
    return;
  }
  let e = u32(id) * args.row + args.column + c;
  if (e < args.first || e >= args.end) { return; }
  let four = decode4(e & ~3u);
  y[to] = four[e & 3u];
}
${EACH}`,
});

/** Chooses the form of a product by its sizes and the adapter, and splits operands larger than a binding. */
import type { Backend, Operand } from "../../core/tensor/backend.ts";
import { type DType, isGguf } from "../../core/tensor/dtype.ts";
import { type Orientation, productSizes } from "../../core/tensor/product_sizes.ts";
import { type Shape, size } from "../../core/tensor/shape.ts";
import { broadcastStrides, merge } from "../../core/tensor/walk.ts";
import { alignedRows, type Context, expect, type Part, rowStep } from "./context.ts";
import { decoding, STEP } from "./decoding.ts";
import { type Arguments, GRID } from "./kernel.ts";
import { type Reading, registerProduct, type RegisterShape, sharedProduct, TILE } from "./kernels/product.ts";
import type { Span } from "./stream.ts";

/** The kernels of this file. */
export type ProductKernels = Pick<Backend, "matmul">;

/** Products over a context. */
export function productKernels(context: Context): ProductKernels {
  const { stream, made, parts, part, whole, open } = context;

  /** The kernel for [m, n] outputs, and the rows and columns that one workgroup writes. */
  const choose = (a: Reading, b: Reading, m: number, n: number, k: number) => {
    const key = JSON.stringify([a, b]);
    if (open.products === "shared" && m >= TILE / 2 && n >= TILE / 2) {
      return { kernel: made(`shared ${key}`, () => sharedProduct(a, b)), high: TILE, wide: TILE, depth: 16 };
    }
    const shape = registerShape(m, n, k, open.software);
    const { rows, columns, lanes, along } = shape;
    const kernel = made(`registers ${JSON.stringify(shape)} ${key}`, () => {
      // Fewer than four lines do not start at whole vectors of four.
      const fitting = (x: Reading, lines: number): Reading =>
        x.along === "other" && lines < 4 ? { ...x, wide: false } : x;
      return registerProduct(fitting(a, rows), fitting(b, columns), shape);
    });
    const [high, wide] = along === "rows" ? [rows * lanes, columns] : [rows, columns * lanes];
    return { kernel, high, wide, depth: 4 };
  };

  return {
    matmul(a: Operand, b: Operand, orientation: Orientation, out: Operand): void {
      const { transposeA, transposeB } = orientation;
      const { m, n, k, widthA, widthB, batch, lead, folded } = productSizes(a, b, orientation, out);
      const coded = b.dtype !== "f32";
      expect(a);
      expect(out);
      if (batch * m * n === 0) return;
      if (k === 0) return stream.clear(context.block(out), 4 * size(out.shape));
      const readA: Reading = { along: transposeA ? "other" : "k", wide: widthA % 4 === 0, dtype: "f32" };
      const readB: Reading = { along: transposeB ? "k" : "other", wide: widthB % 4 === 0, dtype: b.dtype };
      const walk = folded ? { rank: 0, args: NO_WALK } : batchWalk(a, b, lead);
      const split = batch === 1;
      const bytesB = coded ? codeBytes(b.dtype) : 4;
      const stepB = coded ? rowStep(STEP, widthB) : alignedRows(widthB);
      const pieces = (count: number, bytes: number, step: number): readonly Part[] =>
        split ? parts(count, bytes, step) : [{ from: 0, count }];

      const rows = pieces(m, 4 * Math.max(n, transposeA ? 0 : k), Math.max(alignedRows(n), alignedRows(k)));
      const columns = transposeB ? pieces(n, bytesB * k, stepB) : [{ from: 0, count: n }];
      const deep = pieces(
        k,
        Math.max(transposeB ? 0 : bytesB * n, transposeA ? 4 * m : 0),
        Math.max(transposeB ? 1 : stepB, transposeA ? alignedRows(m) : 1),
      );
      for (const r of rows) {
        for (const c of columns) {
          for (const d of deep) {
            const [spanA, firstA] = operandPart(a, transposeA ? d : r, widthA, split);
            const lines = transposeB ? c : d;
            const placed = coded
              ? decoding(context, b).piece({ from: lines.from * widthB, count: lines.count * widthB })
              : { spans: [operandPart(b, lines, widthB, split)[0]], args: {} };
            const { kernel, high, wide, depth } = choose(readA, readB, r.count, c.count, d.count);
            const firstB = split && !coded ? lines.from * widthB : 0;
            const args: Arguments = {
              ...walk.args,
              ...placed.args,
              ...{ m: r.count, n: c.count, k: d.count, widthA, widthB },
              ...{ fromM: r.from, fromN: c.from, fromK: d.from, firstA, firstB, stride: n },
            };
            const target = split ? part(out, { from: r.from * n, count: r.count * n }, 4) : whole(out);
            const constants = {
              TAIL: Number(d.count % depth !== 0),
              ACCUMULATE: Number(d.from > 0),
              RANK: walk.rank,
            };
            for (let z = 0; z < batch; z += GRID) {
              stream.run(kernel, {
                spans: [spanA, ...placed.spans, target],
                args: { ...args, batch: z },
                constants,
                grid: [Math.ceil(c.count / wide), Math.ceil(r.count / high), Math.min(GRID, batch - z)],
                operations: 2 * Math.min(GRID, batch - z) * r.count * c.count * d.count,
              });
            }
          }
        }
      }
    },
  };

  /** Lines of an operand, and the element at which they start. */
  function operandPart(
    x: Operand,
    { from, count }: Part,
    width: number,
    split: boolean,
  ): readonly [Span, number] {
    if (!split) return [whole(x), 0];
    return [part(expect(x), { from: from * width, count: count * width }, 4), from * width];
  }
}

/** Rows and columns an invocation by what there is of them: enough to reuse what is read, not more than the output has. */
function registerShape(m: number, n: number, k: number, software: boolean): RegisterShape {
  const few = m <= 2 ? m : m <= 4 ? 4 : 8;
  if (!software) return { rows: Math.min(few, 4), columns: m <= 4 ? 1 : 4, lanes: 64, along: "columns" };
  if (n <= 8 && m >= 64) return { rows: 4, columns: 8, lanes: 8, along: "rows" };
  if (m < 64 || n < 64) {
    const columns = n <= 8 ? 1 : n <= 16 ? 2 : n <= 32 || few < 8 ? 4 : 8;
    return { rows: few, columns, lanes: 8, along: "columns" };
  }
  // Large tiles take a second to compile.
  if (m * n * k < LARGE) return { rows: 8, columns: 8, lanes: 8, along: "columns" };
  // The largest tile among those that leave the fewest lanes idle.
  const idle = (columns: number) => Math.ceil(n / (8 * columns)) * 8 * columns - n;
  const columns = [16, 12, 8].reduce((best, c) => idle(c) < idle(best) ? c : best);
  return { rows: m >= 512 ? 24 : 16, columns, lanes: 8, along: "columns" };
}

/** Multiply-adds from which a large tile pays. */
const LARGE = 2 ** 24;

const NO_WALK: Arguments = { sizes: [], stepsA: [], stepsB: [] };

/** How many matrices of a and of b lie before each of the batch. */
function batchWalk(
  a: Operand,
  b: Operand,
  lead: Shape,
): { readonly rank: number; readonly args: Arguments } {
  const steps = [a, b].map((x) => {
    const matrix = size(x.shape.slice(-2));
    return broadcastStrides(x.shape.slice(0, -2), lead).map((step) => step * matrix);
  });
  const { sizes, strides } = merge(lead, steps);
  const [stepsA, stepsB] = strides.map((s) => [...s].reverse());
  const single = size(lead) <= 1;
  return {
    rank: single ? 0 : sizes.length,
    args: { sizes: [...sizes].reverse(), stepsA: stepsA!, stepsB: stepsB! },
  };
}

/** Most bytes of codes an element. */
function codeBytes(dtype: DType): number {
  if (isGguf(dtype)) return 34 / 32;
  return dtype === "f16" || dtype === "bf16" ? 2 : 1;
}

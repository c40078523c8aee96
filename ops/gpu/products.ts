/** Chooses the form of a product by its sizes and the adapter, and splits operands larger than a binding. */
import type { Backend, Operand } from "../../tensor/backend.ts";
import { type DType, isGguf } from "../../tensor/dtype.ts";
import { type Orientation, productSizes } from "../../tensor/product_sizes.ts";
import { type Shape, size, strides } from "../../tensor/shape.ts";
import { broadcastStrides, mergeAxes } from "../../tensor/walk.ts";
import { type Context, expect, type Part, rowStep, type Window } from "./context.ts";
import { decoding, stepOf } from "./decoding.ts";
import { type Arguments, GRID } from "./kernel.ts";
import { registerProduct, type RegisterShape, sharedProduct, TILE } from "./kernels/product.ts";
import type { ProductForm, Reading } from "./kernels/product_operands.ts";
import { type Tile, tiles } from "./tiles.ts";

/** The kernels of this file. */
export type ProductKernels = Pick<Backend, "matmul" | "matmulPlus">;

/**
 * The location of a box's matrices in an operand: the first element, and its distance to the last matrix's
 * first element.
 */
interface Matrices {
  readonly at: number;
  readonly matrices: number;
}

/** A box of the batch. */
interface Batch {
  readonly count: number;
  readonly rank: number;
  readonly a: Matrices;
  readonly b: Matrices;
  readonly y: Matrices;
  /** The walk over its matrices. */
  readonly args: Arguments;
}

/** An additional product in the same sums: c [m, rank] times the transpose of d [n, rank]. */
interface Term {
  readonly c: Operand;
  readonly d: Operand;
}

/** Products over a context. */
export function productKernels(context: Context): ProductKernels {
  const { stream, made, parts, open } = context;

  /** The kernel for [m, n] outputs, and the rows and columns that one workgroup writes. */
  const choose = (form: ProductForm, m: number, n: number, k: number) => {
    const key = JSON.stringify(form);
    if (open.products === "shared" && m >= TILE / 2 && n >= TILE / 2) {
      return { kernel: made(`shared ${key}`, () => sharedProduct(form)), high: TILE, wide: TILE, depth: 16 };
    }
    const shape = registerShape(m, n, k, open.software);
    const { rows, columns, lanes, along } = shape;
    const kernel = made(`registers ${JSON.stringify(shape)} ${key}`, () => {
      // Fewer than four lines do not start at whole vectors of four.
      const fitting = (x: Reading, lines: number): Reading =>
        x.along === "other" && lines < 4 ? { ...x, wide: false } : x;
      return registerProduct({ ...form, a: fitting(form.a, rows), b: fitting(form.b, columns) }, shape);
    });
    const [high, wide] = along === "rows" ? [rows * lanes, columns] : [rows, columns * lanes];
    return { kernel, high, wide, depth: 4 };
  };

  const product = (a: Operand, b: Operand, orientation: Orientation, out: Operand, term?: Term): void => {
    const { transposeA, transposeB } = orientation;
    const { m, n, k, widthA, widthB, batch, lead, folded } = productSizes(a, b, orientation, out);
    const coded = b.dtype !== "f32";
    expect(a);
    expect(out);
    if (batch * m * n === 0) return;
    if (k === 0 && term === undefined) return stream.clear(context.block(out), 4 * size(out.shape));
    const rank = term?.c.shape.at(-1) ?? 0;
    const plain: ProductForm = {
      a: { along: transposeA ? "other" : "k", wide: widthA % 4 === 0, dtype: "f32" },
      b: { along: transposeB ? "k" : "other", wide: widthB % 4 === 0, dtype: b.dtype },
      half: open.half,
    };
    const form = term && rank > 0 ? { ...plain, term: { wide: rank % 4 === 0 } } : plain;
    const bytesB = coded ? codeBytes(b.dtype) : 4;
    // Both are powers of two.
    const stepB = coded ? Math.max(QUAD, rowStep(stepOf(b.dtype), widthB)) : QUAD;
    /** One part: rows and columns of the output, and a range of k; the term is added with the last range. */
    const run = (some: Batch, r: Part, c: Part, d: Part): void => {
      const lines = transposeB ? c : d;
      const left = bound(a, some.a, transposeA ? d : r, widthA);
      const right = coded ? undefined : bound(b, some.b, lines, widthB);
      const target = bound(out, some.y, r, n);
      const decoded = coded
        ? decoding(context, b).piece({ from: lines.from * widthB, count: lines.count * widthB })
        : undefined;
      const last = form.term && d.from + d.count === k ? term : undefined;
      const [inC, inD] = last ? [bound(last.c, NONE, r, rank), bound(last.d, NONE, c, rank)] : [];
      const { kernel, high, wide, depth } = choose(last ? form : plain, r.count, c.count, d.count);
      const args: Arguments = {
        ...decoded?.args,
        ...some.args,
        ...{ m: r.count, n: c.count, k: d.count, widthA, widthB, stride: n },
        ...{ fromM: r.from, fromN: c.from, fromK: d.from },
        ...{ firstA: left.first, firstB: right?.first ?? 0, atA: some.a.at, atB: coded ? 0 : some.b.at },
        atY: some.y.at + r.from * n - target.first,
        ...inC && inD && { rank, atC: r.from * rank - inC.first, atD: c.from * rank - inD.first },
      };
      const constants = {
        TAIL: Number(d.count % depth !== 0),
        ACCUMULATE: Number(d.from > 0),
        RANK: some.rank,
      };
      const spans = [
        ...[left.span, ...decoded?.spans ?? [right!.span]],
        ...[...inC && inD ? [inC.span, inD.span] : [], target.span],
      ];
      for (let z = 0; z < some.count; z += GRID) {
        const deep = Math.min(GRID, some.count - z);
        stream.run(kernel, {
          spans,
          args: { ...args, batch: z },
          constants,
          grid: [Math.ceil(c.count / wide), Math.ceil(r.count / high), deep],
          operations: 2 * deep * r.count * c.count * (d.count + (last ? rank : 0)),
        });
      }
    };
    for (const some of batches(a, b, folded ? [] : lead, out)) {
      const pieces = (count: number, bytes: number, step: number): readonly Part[] =>
        some.count === 1 ? parts(count, bytes, step, 4 * context.room) : [{ from: 0, count }];
      const rows = pieces(m, 4 * Math.max(n, transposeA ? 0 : k, rank), QUAD);
      const columns = transposeB ? pieces(n, Math.max(bytesB * k, 4 * rank), stepB) : [{ from: 0, count: n }];
      const across = Math.max(transposeB ? 0 : bytesB * n, transposeA ? 4 * m : 0);
      const runs = pieces(k, across, transposeB ? QUAD : stepB);
      for (const r of rows) {
        for (const c of columns) {
          for (const d of runs.length > 0 ? runs : [{ from: 0, count: 0 }]) run(some, r, c, d);
        }
      }
    }
  };

  return {
    matmul: (a: Operand, b: Operand, orientation: Orientation, out: Operand): void =>
      product(a, b, orientation, out),
    matmulPlus: (
      a: Operand,
      b: Operand,
      orientation: Orientation,
      c: Operand,
      d: Operand,
      out: Operand,
    ): void => product(a, b, orientation, out, { c: expect(c), d: expect(d) }),
  };

  /** The binding needed for lines of an operand's matrices. */
  function bound(x: Operand, { at, matrices }: Matrices, { from, count }: Part, width: number): Window {
    return context.window(expect(x), at + from * width, matrices + count * width);
  }

  /** Matrices of a batch that can be bound together; one by one where a single matrix is bound in parts. */
  function batches(a: Operand, b: Operand, lead: Shape, out: Operand): readonly Batch[] {
    const matrix = (x: Operand): number => lead.length === 0 ? size(x.shape) : size(x.shape.slice(-2));
    const [sizeA, sizeB, sizeY] = [a, b, out].map(matrix) as [number, number, number];
    const steps = [[a, sizeA], [b, sizeB], [out, sizeY]] as const;
    const walk = mergeAxes(
      lead,
      steps.map(([x, matrix]) => broadcastStrides(x.shape.slice(0, -2), lead).map((step) => step * matrix)),
    );
    const count = size(lead);
    const reached = steps.map(([x, extent], i) => ({ x, steps: walk.strides[i]!, extent }));
    const apart = count > 1 && reached.some(({ extent }) => extent > context.room);
    const boxes = count <= 1
      ? [{ from: walk.sizes.map(() => 0), sizes: walk.sizes.map(() => 1) }]
      : apart
      ? everyPlace(walk.sizes)
      : tiles(walk.sizes, reached, context.room);
    return boxes.map(({ from, sizes }) => {
      const [inA, inB, inY] = reached.map(({ steps }): Matrices => ({
        at: steps.reduce((sum, step, axis) => sum + step * from[axis]!, 0),
        matrices: steps.reduce((sum, step, axis) => sum + step * (sizes[axis]! - 1), 0),
      }));
      const [stepsA, stepsB, stepsY] = reached.map(({ steps }) => [...steps].reverse());
      const count = size(sizes);
      return {
        ...{ count, rank: count === 1 ? 0 : sizes.length, a: inA!, b: inB!, y: inY! },
        args: { sizes: [...sizes].reverse(), stepsA: stepsA!, stepsB: stepsB!, stepsY: stepsY! },
      };
    });
  }
}

/** Every position of a walk as a separate box. */
function everyPlace(sizes: readonly number[]): readonly Tile[] {
  const steps = strides(sizes);
  return Array.from({ length: size(sizes) }, (_, i) => ({
    from: sizes.map((n, axis) => Math.floor(i / steps[axis]!) % n),
    sizes: sizes.map(() => 1),
  }));
}

/** Rows and columns per invocation: enough to reuse loaded values, not more than the output has. */
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

/** A single matrix. */
const NONE: Matrices = { at: 0, matrices: 0 };

/** Parts start at whole vectors of four. */
const QUAD = 4;

/** Multiply-adds from which a large tile pays off. */
const LARGE = 2 ** 24;

/** Maximum number of bytes of codes per element. */
function codeBytes(dtype: DType): number {
  if (isGguf(dtype)) return 34 / 32;
  return dtype === "f16" || dtype === "bf16" ? 2 : 1;
}

/** Kernels that move elements, gather and scatter; rotary positions and the random stream. */
import type { Backend, Operand } from "../../core/tensor/backend.ts";
import type { DType } from "../../core/tensor/dtype.ts";
import type { Key } from "../../core/tensor/key.ts";
import { rowsAndWidth, type Shape, showShape, size, strides } from "../../core/tensor/shape.ts";
import { merge } from "../../core/tensor/walk.ts";
import { MARKS } from "./checks.ts";
import { type Context, expect, type Part } from "./context.ts";
import { decoding, STEP } from "./decoding.ts";
import { each } from "./kernel.ts";
import { fillKernel } from "./kernels/encode.ts";
import { gatherRowsKernel } from "./kernels/gather_rows.ts";
import {
  addChains,
  boxKernel,
  firstAndLast,
  gatherLastKernel,
  packKernel,
  spreadKernel,
} from "./kernels/movement.ts";
import { ropeKernel, uniformKernel } from "./kernels/rope.ts";

/** The kernels of this file. */
export type MoveKernels = Pick<
  Backend,
  | "permute"
  | "slice"
  | "place"
  | "concat"
  | "gatherRows"
  | "scatterAddRows"
  | "gatherLast"
  | "scatterAddLast"
  | "rope"
  | "uniform"
>;

/** A box of elements: its shape, and where its corner and steps lie in source and target. */
interface Box {
  readonly shape: Shape;
  readonly from: readonly number[];
  readonly to: readonly number[];
  readonly fromAt: number;
  readonly toAt: number;
}

/** Movement kernels over a context. */
export function moveKernels(context: Context): MoveKernels {
  const { stream, made, whole, part, parts, temporary } = context;

  const zero = (out: Operand): void => {
    if (size(out.shape) > 0) stream.clear(context.block(out), 4 * size(out.shape));
  };
  /** Copies a box of words. Where the target is contiguous it is bound in parts. */
  const box = (x: Operand, out: Operand, { shape, from, to, fromAt, toAt }: Box): void => {
    const n = size(shape);
    if (n === 0) return;
    const walk = merge(shape, [from, to]);
    const rank = walk.sizes.length;
    if (rank > 8) {
      throw new RangeError(`Cannot move a box ${showShape(shape)} on the GPU: it has ${rank} axes`);
    }
    const dense = rank === 1 && walk.strides[1]![0] === 1 || sameSteps(to, strides(shape));
    const pieces: readonly Part[] = dense && toAt === 0 ? parts(n, 4, 64) : [{ from: 0, count: n }];
    for (const piece of pieces) {
      stream.run(boxKernel, {
        spans: [whole(x), pieces.length > 1 ? part(out, piece, 4) : whole(out)],
        args: {
          n: piece.count,
          first: piece.from,
          fromAt,
          toAt: toAt - piece.from,
          sizes: [...walk.sizes].reverse(),
          stepsFrom: [...walk.strides[0]!].reverse(),
          stepsTo: [...walk.strides[1]!].reverse(),
        },
        constants: { RANK: rank },
        grid: each(piece.count),
      });
    }
  };
  /** Runs `f` on words: on x and out, or on copies with an element a word. */
  const inWords = (
    inputs: readonly Operand[],
    out: Operand,
    f: (inputs: readonly Operand[], out: Operand) => void,
  ): void => {
    const unit = unitOf(out);
    inputs.forEach(unitOf);
    if (unit === 4) return f(inputs, out);
    const spread = (done: readonly Operand[], rest: readonly Operand[]): void => {
      const [next, ...others] = rest;
      if (next === undefined) {
        return temporary(out.shape, "i32", (words) => {
          f(done, words);
          const elements = size(out.shape);
          const n = Math.ceil(elements * unit / 4);
          const spans = [whole(words), whole(out)];
          stream.run(packKernel, { spans, args: { n, elements }, constants: { UNIT: unit }, grid: each(n) });
        });
      }
      temporary(next.shape, "i32", (words) => {
        const n = size(next.shape);
        const spans = [whole(next), whole(words)];
        if (n > 0) stream.run(spreadKernel, { spans, args: { n }, constants: { UNIT: unit }, grid: each(n) });
        spread([...done, words], others);
      });
    };
    spread([], inputs);
  };
  const put = (x: Operand, starts: readonly number[], out: Operand): void => {
    const to = strides(out.shape);
    box(x, out, { shape: x.shape, from: strides(x.shape), to, fromAt: 0, toAt: corner(out.shape, starts) });
  };
  /** out = zeros; out[target] += x[i] in order of i: `row` elements each, ids in rows of `picks` that choose of `width`. */
  const scatter = (
    op: "scatterAddRows" | "scatterAddLast",
    x: Operand,
    ids: Operand,
    out: Operand,
    { row, picks, width }: { readonly row: number; readonly picks: number; readonly width: number },
  ): void => {
    zero(out);
    const n = size(ids.shape);
    const targets = row === 0 ? 0 : size(out.shape) / row;
    if (n === 0 || row === 0) return;
    temporary([Math.max(2, targets)], "i32", (first) =>
      temporary([Math.max(2, targets)], "i32", (last) => {
        for (const [side, word] of [[first, 0xFFFFFFFF], [last, 0]] as const) {
          const vectors = Math.ceil(Math.max(2, targets) / 4);
          stream.run(fillKernel, { spans: [whole(side)], args: { n: vectors, word }, grid: each(vectors) });
        }
        const { slot } = MARKS[op];
        stream.run(firstAndLast, {
          spans: [whole(expect(ids, "i32")), whole(first), whole(last), context.marks],
          args: { n, picks, width, slot },
          grid: each(n),
        });
        for (const piece of parts(targets, 4 * row, 64)) {
          stream.run(addChains, {
            spans: [
              ...[whole(expect(x)), whole(ids), whole(first), whole(last)],
              part(out, { from: piece.from * row, count: piece.count * row }, 4),
            ],
            args: { n: n * row, picks, width, row, low: piece.from, high: piece.from + piece.count },
            grid: each(n * row),
          });
        }
      }));
  };

  return {
    permute(x: Operand, axes: readonly number[], out: Operand): void {
      const steps = strides(x.shape);
      inWords([x], out, ([x], out) =>
        box(x!, out, {
          shape: out.shape,
          from: axes.map((axis) => steps[axis]!),
          to: strides(out.shape),
          fromAt: 0,
          toAt: 0,
        }));
    },
    slice(x: Operand, starts: readonly number[], out: Operand): void {
      inWords([x], out, ([x], out) =>
        box(x!, out, {
          shape: out.shape,
          from: strides(x!.shape),
          to: strides(out.shape),
          fromAt: corner(x!.shape, starts),
          toAt: 0,
        }));
    },
    place(x: Operand, starts: readonly number[], out: Operand): void {
      inWords([x], out, ([x], out) => {
        zero(out);
        put(x!, starts, out);
      });
    },
    concat(operands: readonly Operand[], axis: number, out: Operand): void {
      inWords(operands, out, (operands, out) => {
        let start = 0;
        for (const operand of operands) {
          put(operand, out.shape.map((_, i) => i === axis ? start : 0), out);
          start += operand.shape[axis]!;
        }
      });
    },
    gatherRows(table: Operand, ids: Operand, out: Operand): void {
      const row = size(table.shape.slice(1));
      const n = size(out.shape);
      if (n === 0) return;
      const { slot } = MARKS.gatherRows;
      const target = [whole(expect(ids, "i32")), whole(expect(out)), context.marks] as const;
      const kernel = made(`gatherRows ${table.dtype}`, () => gatherRowsKernel(table.dtype));
      for (const { piece, spans, args } of decoding(context, table).pieces(1, STEP)) {
        stream.run(kernel, {
          spans: [...spans, ...target],
          args: { ...args, n, row, rows: table.shape[0]!, end: piece.from + piece.count, slot },
          grid: each(n),
        });
      }
    },
    scatterAddRows: (x: Operand, ids: Operand, out: Operand): void =>
      scatter("scatterAddRows", x, ids, out, {
        row: size(out.shape.slice(1)),
        picks: Math.max(1, size(ids.shape)),
        width: out.shape[0]!,
      }),
    gatherLast(x: Operand, ids: Operand, out: Operand): void {
      const n = size(ids.shape);
      if (n === 0) return;
      expect(x, x.dtype === "i32" ? "i32" : "f32");
      const args = {
        n,
        picks: rowsAndWidth(ids.shape).width,
        width: rowsAndWidth(x.shape).width,
        slot: MARKS.gatherLast.slot,
      };
      const spans = [whole(x), whole(expect(ids, "i32")), whole(out), context.marks];
      stream.run(gatherLastKernel, { spans, args, grid: each(n) });
    },
    scatterAddLast: (x: Operand, ids: Operand, out: Operand): void =>
      scatter("scatterAddLast", x, ids, out, {
        row: 1,
        picks: Math.max(1, rowsAndWidth(ids.shape).width),
        width: rowsAndWidth(out.shape).width,
      }),
    rope(x: Operand, cos: Operand, sin: Operand, inverse: boolean, out: Operand): void {
      const [b, t, h, d] = x.shape as [number, number, number, number];
      const n = b * t * h * d / 2;
      if (n === 0) return;
      stream.run(ropeKernel, {
        spans: [x, cos, sin, out].map((t) => whole(expect(t))),
        args: { n, heads: h, half: d / 2, tables: cos.shape[0]! * t, sign: inverse ? -1 : 1 },
        grid: each(n),
      });
    },
    uniform(key: Key, out: Operand): void {
      for (const piece of parts(size(out.shape), 4, 64)) {
        const n = Math.ceil(piece.count / 2);
        const args = { n, first: piece.from / 2, a: key.a, b: key.b };
        stream.run(uniformKernel, { spans: [part(expect(out), piece, 4)], args, grid: each(n) });
      }
    },
  };
}

const corner = (shape: readonly number[], starts: readonly number[]): number =>
  strides(shape).reduce((sum, step, axis) => sum + step * starts[axis]!, 0);

const sameSteps = (a: readonly number[], b: readonly number[]): boolean => a.every((n, i) => n === b[i]);

/** Bytes of an element. @throws {TypeError} for coded dtypes. */
function unitOf(x: Operand): number {
  const units: { readonly [dtype in DType]?: number } = { f32: 4, i32: 4, f16: 2, bf16: 2, u8: 1 };
  const unit = units[x.dtype];
  if (unit !== undefined) return unit;
  throw new TypeError(`Expected a plain operand but found ${x.dtype} ${showShape(x.shape)}: cast it first`);
}

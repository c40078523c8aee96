/** Kernels that move elements, gather and scatter; rotary positions and the random stream. */
import type { Backend, Operand } from "../../tensor/backend.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { Key } from "../../tensor/key.ts";
import { rowsAndWidth, type Shape, showShape, size, strides } from "../../tensor/shape.ts";
import { mergeAxes } from "../../tensor/walk.ts";
import { MARKS } from "./checks.ts";
import { type Context, expect } from "./context.ts";
import { decoding, stepOf } from "./decoding.ts";
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
import { eachTile } from "./tiles.ts";
import { rangeError, typeError } from "../../errors/error.ts";

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

/** A box of elements: its shape, and its corner and steps in source and target. */
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
  /** Copies a box of words. */
  const box = (x: Operand, out: Operand, { shape, from, to, fromAt, toAt }: Box): void => {
    if (size(shape) === 0) return;
    const walk = mergeAxes(shape, [from, to]);
    const rank = walk.sizes.length;
    if (rank > 8) {
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot move a box ${showShape(shape)} on the GPU: it has ${rank} axes`,
      );
    }
    const [stepsFrom, stepsTo] = walk.strides as [readonly number[], readonly number[]];
    const operands = [{ x, steps: stepsFrom, at: fromAt }, { x: out, steps: stepsTo, at: toAt }];
    eachTile(context, walk.sizes, operands, ({ sizes }, spans, [fromAt, toAt]) => {
      const n = size(sizes);
      stream.run(boxKernel, {
        spans,
        args: {
          ...{ n, fromAt: fromAt!, toAt: toAt!, sizes: [...sizes].reverse() },
          ...{ stepsFrom: [...stepsFrom].reverse(), stepsTo: [...stepsTo].reverse() },
        },
        constants: { RANK: rank },
        grid: each(n),
      });
    });
  };
  /** Runs `f` on words: on x and out, or on copies with one element per word. */
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
          for (const piece of parts(size(out.shape), 4, 256)) {
            const n = Math.ceil(piece.count * unit / 4);
            const spans = [part(words, piece, 4), part(out, piece, unit)];
            const args = { n, elements: piece.count };
            stream.run(packKernel, { spans, args, constants: { UNIT: unit }, grid: each(n) });
          }
        });
      }
      temporary(next.shape, "i32", (words) => {
        for (const piece of parts(size(next.shape), 4, 256)) {
          const n = piece.count;
          const spans = [part(next, piece, unit), part(words, piece, 4)];
          stream.run(spreadKernel, { spans, args: { n }, constants: { UNIT: unit }, grid: each(n) });
        }
        spread([...done, words], others);
      });
    };
    spread([], inputs);
  };
  const put = (x: Operand, starts: readonly number[], out: Operand): void => {
    const to = strides(out.shape);
    box(x, out, { shape: x.shape, from: strides(x.shape), to, fromAt: 0, toAt: corner(out.shape, starts) });
  };
  /**
   * out = zeros; out[target] += x[i] in order of i: `row` elements each, ids in rows of `picks` that select
   * from `width`.
   */
  const scatter = (
    op: "scatterAddRows" | "scatterAddLast",
    x: Operand,
    ids: Operand,
    out: Operand,
    { row, picks, width }: { readonly row: number; readonly picks: number; readonly width: number },
  ): void => {
    zero(out);
    expect(x);
    expect(ids, "i32");
    const n = size(ids.shape);
    const targets = row === 0 ? 0 : size(out.shape) / row;
    if (n === 0 || row === 0) return;
    const { slot } = MARKS[op];
    const target = [{ x: out, steps: [row], extent: row }];
    const sources = [{ x: ids, steps: [1] }, { x, steps: [row], extent: row }];
    eachTile(context, [targets], target, ({ from: [low], sizes: [count] }, [written], [atY]) => {
      const room = [Math.max(2, count!)];
      temporary(
        room,
        "i32",
        (first) =>
          temporary(
            room,
            "i32",
            (last) =>
              eachTile(context, [n], sources, (piece, [chosen, rows], [atIds, atX]) => {
                for (const [side, word] of [[first, 0xFFFFFFFF], [last, 0]] as const) {
                  const n = Math.ceil(room[0]! / 4);
                  stream.run(fillKernel, { spans: [whole(side)], args: { n, word }, grid: each(n) });
                }
                const [firstId, ids] = [piece.from[0]!, piece.sizes[0]!];
                const args = {
                  ...{ firstId, picks, width, low: low!, high: low! + count!, slot },
                  ...{ row, atIds: atIds!, atX: atX!, atY: atY! },
                };
                const chains = [chosen!, whole(first), whole(last)];
                const marking = { spans: [...chains, context.marks], args: { ...args, n: ids } };
                stream.run(firstAndLast, { ...marking, grid: each(ids) });
                stream.run(addChains, {
                  spans: [rows!, ...chains, written!],
                  args: { ...args, n: ids * row },
                  grid: each(ids * row),
                });
              }),
          ),
      );
    });
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
      if (size(out.shape) === 0) return;
      const { slot } = MARKS.gatherRows;
      const kernel = made(`gatherRows ${table.dtype}`, () => gatherRowsKernel(table.dtype));
      const operands = [{ x: expect(ids, "i32"), steps: [1, 0] }, { x: expect(out), steps: [row, 1] }];
      for (const { piece, spans, args } of decoding(context, table).pieces(1, stepOf(table.dtype))) {
        eachTile(context, [size(ids.shape), row], operands, ({ from, sizes }, target, [atIds, atY]) => {
          const [[firstId, column], [, columns]] = [from, sizes] as [
            [number, number],
            [number, number],
          ];
          const n = size(sizes);
          stream.run(kernel, {
            spans: [...spans, ...target, context.marks],
            args: {
              ...args,
              ...{ n, row, rows: table.shape[0]!, end: piece.from + piece.count, slot },
              ...{ column, columns, firstId, atIds: atIds!, atY: atY! },
            },
            grid: each(n),
          });
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
      if (size(ids.shape) === 0) return;
      expect(x, x.dtype === "i32" ? "i32" : "f32");
      const { rows, width: across } = rowsAndWidth(ids.shape);
      const { width } = rowsAndWidth(x.shape);
      const operands = [
        { x, steps: [width, 0, 1] },
        { x: expect(ids, "i32"), steps: [across, 1, 0] },
        { x: out, steps: [across, 1, 0] },
      ];
      eachTile(context, [rows, across, Math.max(1, width)], operands, ({ from, sizes }, spans, starts) => {
        const [row, pick, low] = from as [number, number, number];
        const [count, picks, columns] = sizes as [number, number, number];
        const [atX, atIds, atY] = starts as [number, number, number];
        const n = count * picks;
        stream.run(gatherLastKernel, {
          spans: [...spans, context.marks],
          args: {
            ...{ n, picks, across, width, low, high: low + columns, atX, atIds, atY },
            ...{ firstId: row * across + pick, slot: MARKS.gatherLast.slot },
          },
          grid: each(n),
        });
      });
    },
    scatterAddLast: (x: Operand, ids: Operand, out: Operand): void =>
      scatter("scatterAddLast", x, ids, out, {
        row: 1,
        picks: Math.max(1, rowsAndWidth(ids.shape).width),
        width: rowsAndWidth(out.shape).width,
      }),
    rope(x: Operand, cos: Operand, sin: Operand, inverse: boolean, out: Operand): void {
      const [b, t, h, d] = x.shape as [number, number, number, number];
      if (size(x.shape) === 0) return;
      const half = d / 2;
      const across = cos.shape[0] === 1 ? 0 : t;
      const operands = [
        ...[x, out].map((x) => ({ x: expect(x), steps: [t * h * d, h * d], extent: h * d })),
        ...[cos, sin].map((x) => ({ x: expect(x), steps: [across * half, half], extent: half })),
      ];
      // A box of several batch items holds all their tokens, since x extends further than the tables.
      eachTile(context, [b, t], operands, ({ sizes }, [input, output, cosines, sines], starts) => {
        const [atX, , atTable] = starts as [number, number, number];
        const [count, tokens] = sizes as [number, number];
        const n = count * tokens * h * half;
        stream.run(ropeKernel, {
          spans: [input!, cosines!, sines!, output!],
          args: { n, heads: h, half, tokens, across, sign: inverse ? -1 : 1, atX, atTable },
          grid: each(n),
        });
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

/** Bytes of an element. @throws {TypeError} for quantized dtypes. */
function unitOf(x: Operand): number {
  const units: { readonly [dtype in DType]?: number } = { f32: 4, i32: 4, f16: 2, bf16: 2, u8: 1 };
  const unit = units[x.dtype];
  if (unit !== undefined) return unit;
  throw typeError(
    "INVALID_TENSOR",
    `Expected a plain operand but found ${x.dtype} ${showShape(x.shape)}: cast it first`,
  );
}

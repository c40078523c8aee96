/** Kernels of rows and reductions: parts of rows where an operand is larger than a binding, chunks of long sums. */
import type { Backend, Operand, ReduceOp } from "../../tensor/backend.ts";
import { rowsAndWidth } from "../../tensor/shape.ts";
import { MARKS } from "./checks.ts";
import { alignedRows, type Context, expect, type Part } from "./context.ts";
import { type Arguments, each, grid, type Kernel } from "./kernel.ts";
import { reduceColumnsKernel, reduceRowsKernel } from "./kernels/reduce.ts";
import {
  argmaxKernel,
  crossEntropyGradInPlaceKernel,
  crossEntropyGradKernel,
  crossEntropyKernel,
  layerNormGradKernel,
  layerNormKernel,
  rmsNormGradKernel,
  rmsNormKernel,
  softmaxGradKernel,
  softmaxKernel,
} from "./kernels/rows.ts";
import type { Span } from "./stream.ts";
import { eachTile } from "./tiles.ts";

/** The kernels of this file. */
export type RowKernels = Pick<
  Backend,
  | "reduce"
  | "argmax"
  | "softmax"
  | "softmaxGrad"
  | "rmsNorm"
  | "rmsNormGrad"
  | "layerNorm"
  | "layerNormGrad"
  | "crossEntropy"
  | "crossEntropyGrad"
>;

/** Maximum number of elements that one workgroup folds; more are folded in two rounds. */
const CHUNK = 2 ** 15;
const FOLD: readonly ReduceOp[] = ["sum", "max", "min"];

/** Elements along n that are folded to separate chunks, starting at chunk `at`. */
interface Piece extends Part {
  readonly chunks: number;
  readonly at: number;
}

/** The input of `fold`. */
interface Folded {
  readonly x: Operand;
  readonly outer: number;
  readonly n: number;
  readonly inner: number;
  readonly out: Operand;
  readonly pieces: readonly Piece[];
}

/** Row kernels over a context. */
export function rowKernels(context: Context): RowKernels {
  const { stream, whole, part, parts } = context;
  /** Invocations per row: one vector of the software adapter, or two to eight subgroups of a GPU. */
  const lanes = (width: number): number => context.open.software ? 8 : width > 1024 ? 256 : 64;

  /**
   * Runs a kernel over the rows of x; `spans` binds operands for some rows, as whole rows or as one value per
   * row.
   */
  const byRow = (
    kernel: Kernel,
    x: Operand,
    spans: (rows: (x: Operand) => Span, numbers: (x: Operand) => Span) => readonly Span[],
    args: Arguments = {},
  ): void => {
    const { rows, width } = rowsAndWidth(x.shape);
    if (width === 0) return;
    const small = 4 * rows <= context.open.bindingBytes;
    for (const piece of parts(rows, 4 * width, small ? alignedRows(width) : 64)) {
      const elements: Part = { from: piece.from * width, count: piece.count * width };
      stream.run(kernel, {
        spans: spans(
          (t) => part(expect(t), elements, 4),
          (t) => small ? whole(t) : part(t, piece, 4),
        ),
        args: { ...args, rows: piece.count, width, first: small ? piece.from : 0 },
        constants: { LANES: lanes(width) },
        grid: grid(piece.count),
      });
    }
  };
  const marked = { slot: MARKS.crossEntropy.slot };

  const reduce = (op: ReduceOp, x: Operand, outer: number, n: number, inner: number, out: Operand): void => {
    expect(x);
    expect(out);
    if (outer * inner === 0) return;
    if (n === 0) {
      // An empty sum is zero; an empty maximum is an infinity.
      return fold(op, { x, outer, n, inner, out, pieces: [{ from: 0, count: 0, chunks: 1, at: 0 }] });
    }
    // A sum is split where a binding ends, and where it is long.
    const most = Math.floor(context.room / inner);
    if (n > 1 && most < 2) {
      // Rows as long as a binding are combined one after another, since there are few of them.
      const pieces = Array.from({ length: n }, (_, from) => ({ from, count: 1, chunks: 1, at: 0 }));
      return fold(op, { x, outer, n, inner, out, pieces });
    }
    const pieces: Piece[] = [];
    for (let from = 0, at = 0; from < n;) {
      const count = Math.min(Math.max(1, most), n - from);
      const chunks = Math.ceil(count / CHUNK);
      pieces.push({ from, count, chunks, at });
      [from, at] = [from + count, at + chunks];
    }
    const total = pieces.at(-1)!.at + pieces.at(-1)!.chunks;
    if (total === 1) return fold(op, { x, outer, n, inner, out, pieces });
    context.temporary([outer, total, inner], "f32", (some) => {
      fold(op, { x, outer, n, inner, out: some, pieces });
      reduce(op, some, outer, total, inner, out);
    });
  };
  /**
   * Folds pieces of x [outer, n, inner] to the chunks of out [outer, chunks of all, inner]; those of the same
   * chunk are combined.
   */
  const fold = (op: ReduceOp, { x, outer, n, inner, out, pieces }: Folded): void => {
    const OP = FOLD.indexOf(op);
    const total = pieces.at(-1)!.at + pieces.at(-1)!.chunks;
    pieces.forEach(({ from, count, chunks, at }, i) => {
      const operands = [
        { x, steps: [n * inner, 1], at: from * inner, extent: Math.max(0, count - 1) * inner + 1 },
        { x: out, steps: [total * inner, 1], at: at * inner, extent: (chunks - 1) * inner + 1 },
      ];
      const length = Math.ceil(count / chunks);
      eachTile(context, [outer, inner], operands, ({ sizes }, spans, [atX, atY]) => {
        const [rows, columns] = sizes as [number, number];
        const args = { across: n, count, inner, chunks, length, total, atX: atX!, atY: atY!, zero: 0 };
        if (inner === 1) {
          stream.run(reduceRowsKernel, {
            spans,
            args: { ...args, rows: rows * chunks },
            constants: { OP, LANES: lanes(length) },
            grid: grid(rows * chunks),
          });
        } else {
          const sums = rows * chunks * columns;
          stream.run(reduceColumnsKernel, {
            spans,
            args: { ...args, n: sums, columns },
            constants: { OP, LATER: Number(i > 0 && at === 0) },
            grid: each(sums),
          });
        }
      });
    });
  };

  return {
    reduce,
    argmax: (x: Operand, out: Operand): void =>
      byRow(argmaxKernel, x, (rows, numbers) => [rows(x), numbers(expect(out, "i32"))]),
    softmax: (x: Operand, out: Operand): void => byRow(softmaxKernel, x, (rows) => [rows(x), rows(out)]),
    softmaxGrad: (y: Operand, g: Operand, out: Operand): void =>
      byRow(softmaxGradKernel, y, (rows) => [rows(y), rows(g), rows(out)]),
    rmsNorm(x: Operand, weight: Operand, epsilon: number, out: Operand, inverse: Operand): void {
      const w = whole(expect(weight));
      byRow(rmsNormKernel, x, (rows, numbers) => [rows(x), w, rows(out), numbers(expect(inverse))], {
        epsilon,
      });
    },
    rmsNormGrad: (x: Operand, weight: Operand, inverse: Operand, g: Operand, dx: Operand): void =>
      byRow(rmsNormGradKernel, x, (rows, numbers) => [
        ...[rows(x), whole(expect(weight)), numbers(expect(inverse))],
        ...[rows(g), rows(dx)],
      ]),
    layerNorm(x, weight, bias, epsilon, out, mean, inverse) {
      const [w, b] = [weight, bias].map((t) => whole(expect(t)));
      byRow(layerNormKernel, x, (rows, numbers) => [
        ...[rows(x), w!, b!, rows(out)],
        ...[mean, inverse].map((t) => numbers(expect(t))),
      ], { epsilon });
    },
    layerNormGrad: (x, weight, mean, inverse, g, dx) =>
      byRow(layerNormGradKernel, x, (rows, numbers) => [
        ...[rows(x), whole(expect(weight))],
        ...[mean, inverse].map((t) => numbers(expect(t))),
        ...[rows(g), rows(dx)],
      ]),
    crossEntropy: (logits: Operand, labels: Operand, smoothing: number, loss: Operand, lse: Operand): void =>
      byRow(crossEntropyKernel, logits, (rows, numbers) => [
        ...[rows(logits), numbers(expect(labels, "i32"))],
        ...[loss, lse].map((t) => numbers(expect(t))),
        context.marks,
      ], { smoothing, ...marked }),
    crossEntropyGrad(
      logits: Operand,
      labels: Operand,
      smoothing: number,
      lse: Operand,
      g: Operand,
      dlogits: Operand,
    ): void {
      // A buffer cannot be bound for reading and writing at the same time.
      const over = dlogits.raw === logits.raw;
      byRow(over ? crossEntropyGradInPlaceKernel : crossEntropyGradKernel, logits, (rows, numbers) => [
        ...over ? [] : [rows(logits)],
        numbers(expect(labels, "i32")),
        ...[lse, g].map((t) => numbers(expect(t))),
        rows(dlogits),
      ], { smoothing });
    },
  };
}

/** Kernels of rows and reductions: parts of rows where an operand is larger than a binding, chunks of long sums. */
import type { Backend, Operand, ReduceOp } from "../../core/tensor/backend.ts";
import { rowsAndWidth } from "../../core/tensor/shape.ts";
import { MARKS } from "./checks.ts";
import { alignedRows, type Context, expect, type Part } from "./context.ts";
import { type Arguments, each, grid, type Kernel } from "./kernel.ts";
import { reduceColumnsKernel, reduceRowsKernel } from "./kernels/reduce.ts";
import {
  argmaxKernel,
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

/** Numbers that one workgroup folds at most; more are folded in two rounds. */
const CHUNK = 2 ** 15;
const FOLD: readonly ReduceOp[] = ["sum", "max", "min"];

/** What is folded: see `fold`. */
interface Folded {
  readonly x: Operand;
  readonly outer: number;
  readonly n: number;
  readonly inner: number;
  readonly chunks: number;
  readonly out: Operand;
  readonly from: number;
  readonly at: number;
}

/** Row kernels over a context. */
export function rowKernels(context: Context): RowKernels {
  const { stream, whole, part, parts } = context;
  /** Invocations a row: a vector of the software adapter, or two to eight subgroups of a card. */
  const lanes = (width: number): number => context.open.software ? 8 : width > 1024 ? 256 : 64;

  /** Runs a kernel over the rows of x; `spans` places the operands of some rows. */
  const byRow = (
    kernel: Kernel,
    x: Operand,
    spans: (rows: (x: Operand) => Span) => readonly Span[],
    args: Arguments = {},
  ): void => {
    const { rows, width } = rowsAndWidth(x.shape);
    if (width === 0) return;
    for (const piece of parts(rows, 4 * width, alignedRows(width))) {
      const elements: Part = { from: piece.from * width, count: piece.count * width };
      stream.run(kernel, {
        spans: spans((t) => part(expect(t), elements, 4)),
        args: { ...args, rows: piece.count, width, first: piece.from },
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
    // One long sum is also split where a binding ends.
    const pieces = outer === 1 && n > 0 ? parts(n, 4 * inner, alignedRows(inner)) : [{ from: 0, count: n }];
    const chunks = pieces.map(({ count }) => Math.max(1, Math.ceil(count / CHUNK)));
    const total = chunks.reduce((a, b) => a + b, 0);
    if (total === 1) return fold(op, { x, outer, n, inner, chunks: 1, out, from: 0, at: 0 });
    context.temporary([outer, total, inner], "f32", (some) => {
      let at = 0;
      pieces.forEach(({ from, count }, i) => {
        fold(op, { x, outer, n: count, inner, chunks: chunks[i]!, out: some, from: from * inner, at });
        at += chunks[i]! * inner;
      });
      reduce(op, some, outer, total, inner, out);
    });
  };
  /** Folds the elements of x from `from` on, seen as [outer, n, inner], to [outer, chunks, inner] of out from `at` on. */
  const fold = (op: ReduceOp, { x, outer, n, inner, chunks, out, from, at }: Folded): void => {
    const OP = FOLD.indexOf(op);
    if (n === 0) {
      // The sum of nothing; a maximum of nothing is an infinity.
      const args = { n: outer * inner, count: 0, inner, chunks: 1, length: 1, first: 0, zero: 0 };
      const spans = [context.tables, whole(out)];
      return stream.run(reduceColumnsKernel, { spans, args, constants: { OP }, grid: each(outer * inner) });
    }
    const size = n * inner;
    const length = Math.ceil(n / chunks);
    for (const piece of parts(outer, 4 * size, alignedRows(size))) {
      const elements = { from: from + piece.from * size, count: piece.count * size };
      const spans = [part(x, elements, 4), whole(out)];
      const first = at + piece.from * chunks * inner;
      if (inner === 1) {
        const rows = piece.count * chunks;
        const args = { rows, n, chunks, length, first, zero: 0 };
        stream.run(reduceRowsKernel, {
          spans,
          args,
          constants: { OP, LANES: lanes(length) },
          grid: grid(rows),
        });
      } else {
        const sums = piece.count * chunks * inner;
        const args = { n: sums, count: n, inner, chunks, length, first, zero: 0 };
        stream.run(reduceColumnsKernel, { spans, args, constants: { OP }, grid: each(sums) });
      }
    }
  };

  return {
    reduce,
    argmax: (x: Operand, out: Operand): void =>
      byRow(argmaxKernel, x, (rows) => [rows(x), whole(expect(out, "i32"))]),
    softmax: (x: Operand, out: Operand): void => byRow(softmaxKernel, x, (rows) => [rows(x), rows(out)]),
    softmaxGrad: (y: Operand, g: Operand, out: Operand): void =>
      byRow(softmaxGradKernel, y, (rows) => [rows(y), rows(g), rows(out)]),
    rmsNorm(x: Operand, weight: Operand, epsilon: number, out: Operand, inverse: Operand): void {
      const shared = [whole(expect(weight)), whole(expect(inverse))] as const;
      byRow(rmsNormKernel, x, (rows) => [rows(x), shared[0], rows(out), shared[1]], { epsilon });
    },
    rmsNormGrad: (x: Operand, weight: Operand, inverse: Operand, g: Operand, dx: Operand): void =>
      byRow(rmsNormGradKernel, x, (rows) => [rows(x), whole(weight), whole(inverse), rows(g), rows(dx)]),
    layerNorm(x, weight, bias, epsilon, out, mean, inverse) {
      const [w, b, m, i] = [weight, bias, mean, inverse].map((t) => whole(expect(t)));
      byRow(layerNormKernel, x, (rows) => [rows(x), w!, b!, rows(out), m!, i!], { epsilon });
    },
    layerNormGrad(x, weight, mean, inverse, g, dx) {
      const shared = [weight, mean, inverse].map((t) => whole(expect(t)));
      byRow(layerNormGradKernel, x, (rows) => [rows(x), ...shared, rows(g), rows(dx)]);
    },
    crossEntropy(logits: Operand, labels: Operand, smoothing: number, loss: Operand, lse: Operand): void {
      const [l, y, s] = [whole(expect(labels, "i32")), whole(expect(loss)), whole(expect(lse))];
      const args = { smoothing, ...marked };
      byRow(crossEntropyKernel, logits, (rows) => [rows(logits), l, y, s, context.marks], args);
    },
    crossEntropyGrad(
      logits: Operand,
      labels: Operand,
      smoothing: number,
      lse: Operand,
      g: Operand,
      dlogits: Operand,
    ): void {
      const [l, s, u] = [whole(expect(labels, "i32")), whole(expect(lse)), whole(expect(g))];
      byRow(crossEntropyGradKernel, logits, (rows) => [rows(logits), l, s, u, rows(dlogits)], { smoothing });
    },
  };
}

/**
 * Elementwise kernels: chooses the flat, scalar or strided form, and splits operands that are too large for a
 * binding.
 */
import type { Backend, BinaryOp, Operand, UnaryOp } from "../../tensor/backend.ts";
import { sameShape, showShape, size, strides } from "../../tensor/shape.ts";
import { broadcastStrides, mergeAxes } from "../../tensor/walk.ts";
import { type Context, expect } from "./context.ts";
import { type Arguments, each, type Kernel } from "./kernel.ts";
import {
  binaryCode,
  binaryFlat,
  binaryInteger,
  binaryNumber,
  binaryWalk,
  selectWalk,
  swigluGradKernel,
  swigluKernel,
  unaryCode,
  unaryKernel,
} from "./kernels/elementwise.ts";
import { eachTile, type Reached, type Tile } from "./tiles.ts";
import { rangeError } from "../../errors/error.ts";

/** The kernels of this file. */
export type ElementwiseKernels = Pick<Backend, "unary" | "binary" | "select" | "swiglu" | "swigluGrad">;

/** Axes of a walk on the GPU. */
const RANK = 8;

/** Elementwise kernels over a context. */
export function elementwiseKernels(context: Context): ElementwiseKernels {
  const { stream, part, parts, constant } = context;

  /** Runs a kernel that takes vectors of four over operands of n elements each. */
  const flat = (
    kernel: Kernel,
    n: number,
    operands: readonly Operand[],
    constants: Readonly<Record<string, number>> = {},
    args: Arguments = {},
  ): void => {
    for (const piece of parts(n, 4, 64)) {
      const vectors = Math.ceil(piece.count / 4);
      const spans = operands.map((x) => part(x, piece, 4));
      stream.run(kernel, { spans, args: { ...args, n: vectors }, constants, grid: each(vectors) });
    }
  };
  /** Runs a kernel that walks inputs broadcast to the output, box by box. */
  const walk = (
    kernel: Kernel,
    inputs: readonly Operand[],
    out: Operand,
    constants: Readonly<Record<string, number>>,
  ): void => {
    const steps = [...inputs.map((x) => broadcastStrides(x.shape, out.shape)), strides(out.shape)];
    const merged = mergeAxes(out.shape, steps);
    const rank = merged.sizes.length;
    if (rank > RANK) {
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot walk ${
          showShape(out.shape)
        } on the GPU: ${rank} axes remain after merging, at most ${RANK} fit`,
      );
    }
    const reached = [...inputs, out].map((x, i) => ({ x, steps: merged.strides[i]! }));
    eachTile(context, merged.sizes, reached, (tile, spans, starts) => {
      const n = size(tile.sizes);
      stream.run(kernel, {
        spans,
        args: { ...walkArguments(tile, reached, starts), n },
        constants: { ...constants, RANK: rank },
        grid: each(n),
      });
    });
  };

  return {
    unary: (op: UnaryOp, x: Operand, out: Operand): void =>
      flat(unaryKernel, size(out.shape), [expect(x), expect(out)], { OP: unaryCode(op) }),
    binary(op: BinaryOp, a: Operand, b: Operand, out: Operand): void {
      const n = size(out.shape);
      if (n === 0) return;
      const OP = binaryCode(op);
      if (a.dtype === "i32") return walk(binaryInteger, [a, expect(b, "i32")], out, { OP });
      const [first, second] = [constant(expect(a)), constant(expect(b))];
      expect(out);
      if (second !== undefined && size(a.shape) === n) {
        flat(binaryNumber, n, [a, out], { OP, FIRST: 0 }, { value: second });
      } else if (first !== undefined && size(b.shape) === n) {
        flat(binaryNumber, n, [b, out], { OP, FIRST: 1 }, { value: first });
      } else if (sameShape(a.shape, b.shape)) flat(binaryFlat, n, [a, b, out], { OP });
      else walk(binaryWalk, [a, b], out, { OP });
    },
    select(condition: Operand, a: Operand, b: Operand, out: Operand): void {
      if (size(out.shape) === 0) return;
      const WHOLE = condition.dtype === "i32" ? 1 : 0;
      walk(selectWalk, [condition, expect(a, out.dtype), expect(b, out.dtype)], out, { WHOLE });
    },
    swiglu: (gate: Operand, up: Operand, out: Operand): void =>
      flat(swigluKernel, size(out.shape), [expect(gate), expect(up), expect(out)]),
    swigluGrad: (gate: Operand, up: Operand, g: Operand, dgate: Operand, dup: Operand): void =>
      flat(swigluGradKernel, size(g.shape), [gate, up, g, dgate, dup].map((x) => expect(x))),
  };
}

/** A walk over up to three inputs and an output, last axis first. */
function walkArguments(
  { sizes }: Tile,
  reached: readonly Reached[],
  starts: readonly number[],
): Arguments {
  const backwards = (steps: readonly number[] = []): readonly number[] => [...steps].reverse();
  const last = reached.length - 1;
  const [a, b, c] = reached.slice(0, last);
  const [atA = 0, atB = 0, atC = 0] = starts.slice(0, last);
  return {
    ...{ atA, atB, atC, atY: starts[last]!, sizes: backwards(sizes) },
    ...{ stepsA: backwards(a?.steps), stepsB: backwards(b?.steps), stepsC: backwards(c?.steps) },
    stepsY: backwards(reached[last]!.steps),
  };
}

/** Matrix products and attention: the kernels with too many arguments to pass as numbers. */
import type { AttentionOptions, Backend, Operand } from "../../tensor/backend.ts";
import { bitsOf } from "../../tensor/bits.ts";
import { productSizes } from "../../tensor/product_sizes.ts";
import { rowsAndWidth, size } from "../../tensor/shape.ts";
import { DTYPE } from "./codes.ts";
import type { Context } from "./context.ts";
import { broadcastStrides } from "../../tensor/walk.ts";

/** The kernels of this file. */
export type ProductKernels = Pick<Backend, "matmul" | "matmulRounded" | "attention" | "attentionGrad">;

/** Products. */
export function productKernels(context: Context): ProductKernels {
  const { kernels, address, at } = context;
  return {
    matmul(a, b, options, out) {
      const { transposeA, transposeB } = options;
      const { m, n, k, widthA, widthB, batch, lead } = productSizes(a, b, options, out);
      if (batch * m * n === 0) return;
      const run = (offsets: number): void =>
        kernels().matmul(
          ...[
            DTYPE[b.dtype],
            at(a),
            address(b),
            at(out),
            batch,
            offsets,
            m,
            n,
            k,
            widthA,
            widthB,
          ] as const,
          ...[Number(transposeA), Number(transposeB), size(b.shape), rowsAndWidth(b.shape).width] as const,
        );
      if (batch === 1) run(0);
      else context.longWords(batchOffsets(a, b, lead), run);
    },
    matmulRounded(a, b, out) {
      const [m, k] = a.shape as [number, number];
      const n = b.shape[0]!;
      if (m * n > 0) kernels().matmul_rounded(DTYPE[b.dtype], at(a), address(b), at(out), m, n, k);
    },
    attention(q, k, v, mask, bias, options, out, lse) {
      const outputs = [at(out), at(lse), 0, 0, 0, 0, 0];
      kernels().attention(context.words([...problem(context, q, k, v, mask, bias, options), ...outputs]));
    },
    attentionGrad(q, k, v, mask, bias, options, out, lse, g, dq, dk, dv, dbias) {
      const outputs = [at(out), at(lse), at(g), at(dq), at(dk), at(dv), dbias ? at(dbias) : 0];
      kernels().attention_grad(
        context.words([...problem(context, q, k, v, mask, bias, options), ...outputs]),
      );
    },
  };
}

/** The offsets of each batch item in a and in b, in elements. */
function batchOffsets(a: Operand, b: Operand, lead: readonly number[]): Float64Array {
  const stepsOf = (x: Operand): readonly number[] => {
    const matrix = size(x.shape.slice(-2));
    return broadcastStrides(x.shape.slice(0, -2), lead).map((step) => step * matrix);
  };
  const [stepsA, stepsB] = [stepsOf(a), stepsOf(b)];
  const offsets = new Float64Array(2 * size(lead));
  for (let item = 0; item < offsets.length / 2; item++) {
    let rest = item;
    for (let axis = lead.length - 1; axis >= 0; axis--) {
      const index = rest % lead[axis]!;
      rest = (rest - index) / lead[axis]!;
      offsets[2 * item]! += index * stepsA[axis]!;
      offsets[2 * item + 1]! += index * stepsB[axis]!;
    }
  }
  return offsets;
}

/** The first words of `attention::Problem` in the crate, up to its outputs. */
function problem(
  { at }: Context,
  q: Operand,
  k: Operand,
  v: Operand,
  mask: Operand | undefined,
  bias: Operand | undefined,
  options: AttentionOptions,
): readonly number[] {
  const [b, t, h, d] = q.shape as [number, number, number, number];
  const [, s, g] = k.shape as [number, number, number, number];
  const steps = bias ? broadcastStrides(bias.shape, [b, h, t, s]) : [0, 0, 0, 0];
  const { scale, causal, offset, window, always } = options;
  return [
    ...[at(q), at(k), at(v), mask ? at(mask) : 0, bias ? at(bias) : 0, ...steps],
    ...[b, t, s, h, g, d, bitsOf(scale), Number(causal), offset, window, always],
  ];
}

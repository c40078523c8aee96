/** Attention and its derivatives: chooses the generated kernel for a head's width and what is masked. */
import type { AttentionOptions, Backend, Operand } from "../../core/tensor/backend.ts";
import { showShape, size } from "../../core/tensor/shape.ts";
import { broadcastStrides } from "../../core/tensor/walk.ts";
import { type Context, expect } from "./context.ts";
import { type Arguments, each, type Kernel } from "./kernel.ts";
import { type AttentionForm, attentionKernel } from "./kernels/attention.ts";
import {
  biasGradKernel,
  keyGradKernel,
  maskedBiasKernel,
  queryGradKernel,
  statisticsKernel,
} from "./kernels/attention_grad.ts";

/** The kernels of this file. */
export type AttentionKernels = Pick<Backend, "attention" | "attentionGrad">;

/** Widest head whose vectors are held in registers. */
const WIDEST = 256;

/** A call: form, arguments, and the mask and bias as the kernels read them. */
interface Problem {
  readonly form: AttentionForm;
  readonly args: Arguments;
  readonly added: readonly Operand[];
}

/** Attention over a context. */
export function attentionKernels(context: Context): AttentionKernels {
  const { stream, whole, temporary, open } = context;
  const made = (make: (form: AttentionForm) => Kernel, form: AttentionForm): Kernel =>
    context.made(`${make.name} ${JSON.stringify(form)}`, () => make(form));

  const problem = (
    q: Operand,
    k: Operand,
    mask: Operand | undefined,
    bias: Operand | undefined,
    options: AttentionOptions,
    f: (problem: Problem) => void,
  ): void => {
    const [b, t, h, d] = q.shape as [number, number, number, number];
    const [, s, g] = k.shape as [number, number, number, number];
    if (d > WIDEST) {
      throw new RangeError(
        `Cannot attend with heads ${showShape(q.shape)} on the GPU: at most ${WIDEST} wide`,
      );
    }
    const steps = bias ? broadcastStrides(bias.shape, [b, h, t, s]) : [];
    if (mask && bias) {
      const [bh, bt] = [h, t].map((n, axis) => steps[axis + 1] === 0 ? 1 : n) as [number, number];
      return temporary([b, bh, bt, s], "f32", (both) => {
        const n = b * bh * bt * s;
        const spans = [whole(expect(mask)), whole(expect(bias)), whole(both)];
        if (n > 0) {
          stream.run(maskedBiasKernel, {
            spans,
            args: { n, s, t: bt, h: bh, biasSteps: steps },
            grid: each(n),
          });
        }
        problem(q, k, undefined, both, options, f);
      });
    }
    f({
      form: { d, mask: mask !== undefined, bias: bias !== undefined, lanes: open.software ? 8 : 64 },
      args: {
        ...{ b, t, s, h, g, scale: options.scale, causal: Number(options.causal), offset: options.offset },
        ...{ window: options.window, always: options.always, biasSteps: steps },
      },
      added: [...mask ? [mask] : [], ...bias ? [bias] : []],
    });
  };

  return {
    attention(q, k, v, mask, bias, options, out, lse) {
      const [b, t, h, d] = q.shape as [number, number, number, number];
      if (size(q.shape) === 0) return;
      problem(q, k, mask, bias, options, ({ form, args, added }) =>
        stream.run(made(attentionKernel, form), {
          spans: [q, k, v, ...added, out, lse].map((x) => whole(expect(x))),
          args,
          grid: [Math.ceil(t / form.lanes), h, b],
          operations: 4 * b * h * t * k.shape[1]! * d,
        }));
    },
    attentionGrad(q, k, v, mask, bias, options, out, lse, g, dq, dk, dv, dbias) {
      const [b, t, h, d] = q.shape as [number, number, number, number];
      const [, s, groups] = k.shape as [number, number, number, number];
      if (size(q.shape) === 0) {
        for (const x of [dk, dv]) if (size(x.shape) > 0) stream.clear(context.block(x), 4 * size(x.shape));
        return;
      }
      const rows = b * h * t;
      temporary([rows, 2], "f32", (statistics) => {
        stream.run(statisticsKernel, {
          spans: [lse, out, g, statistics].map((x) => whole(expect(x))),
          args: { n: rows, t, h, d },
          grid: each(rows),
        });
        problem(q, k, mask, bias, options, ({ form, args, added }) => {
          const inputs = [q, k, v, g, statistics, ...added].map((x) => whole(expect(x)));
          const work = 2 * b * h * t * s * d;
          stream.run(made(queryGradKernel, form), {
            spans: [...inputs, whole(dq)],
            args,
            grid: [Math.ceil(t / form.lanes), h, b],
            operations: 3 * work,
          });
          if (s > 0) {
            stream.run(made(keyGradKernel, form), {
              spans: [...inputs, whole(dk), whole(dv)],
              args,
              grid: [Math.ceil(s / form.lanes), groups, b],
              operations: 4 * work,
            });
          }
          if (dbias !== undefined && s > 0) {
            const n = rows * s;
            const call = { spans: [...inputs, whole(dbias)], args: { ...args, n }, operations: 2 * work };
            stream.run(made(biasGradKernel, form), { ...call, grid: each(n) });
          }
        });
      });
    },
  };
}

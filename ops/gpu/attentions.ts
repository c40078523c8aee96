/** Attention and its derivatives: chooses the generated kernel by head width and kind of masking. */
import type { AttentionOptions, Backend, Operand } from "../../tensor/backend.ts";
import { showShape, size, strides } from "../../tensor/shape.ts";
import { broadcastStrides } from "../../tensor/walk.ts";
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
import type { Span } from "./stream.ts";
import { eachTile, type Reached } from "./tiles.ts";
import { rangeError } from "../../errors/error.ts";

/** The kernels of this file. */
export type AttentionKernels = Pick<Backend, "attention" | "attentionGrad">;

/** Widest head whose vectors are held in registers. */
const WIDEST = 256;

/** Operands of a kernel in its order. */
type Operands = Readonly<Record<string, Reached>>;

/** A call: form, arguments common to all boxes, and how the kernels access the mask or bias. */
interface Problem {
  readonly form: AttentionForm;
  readonly args: Arguments;
  readonly added: Operands;
}

/** A box of batch items, heads, queries and keys: its bindings and arguments. */
interface Box {
  readonly spans: readonly Span[];
  readonly args: Arguments;
  readonly from: readonly [b: number, h: number, t: number, s: number];
  readonly sizes: readonly [b: number, h: number, t: number, s: number];
}

/** How operands are indexed by batch items, heads, queries and keys. */
interface Reaching {
  /** q and similar [b, t, h, d]; k and similar [b, s, g, d]; `each` values per row [b, h, t]. */
  queries(x: Operand): Reached;
  keys(x: Operand): Reached;
  rows(x: Operand, each?: number): Reached;
  /** Slopes [b, h, t, s]. */
  slopes(x: Operand): Reached;
}

function reaching(q: Operand, k: Operand): Reaching {
  const [, t, h, d] = q.shape as [number, number, number, number];
  const [, s, g] = k.shape as [number, number, number, number];
  return {
    queries: (x) => ({ x: expect(x), steps: [t * h * d, 0, h * d, 0], extent: h * d }),
    keys: (x) => ({ x: expect(x), steps: [s * g * d, 0, 0, g * d], extent: g * d }),
    rows: (x, each = 1) => ({ x: expect(x), steps: [each * h * t, each * t, each, 0], extent: each }),
    slopes: (x) => ({ x: expect(x), steps: [h * t * s, t * s, s, 1] }),
  };
}

/** Attention over a context. */
export function attentionKernels(context: Context): AttentionKernels {
  const { stream, temporary, open } = context;
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
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot attend with heads ${showShape(q.shape)} on the GPU: at most ${WIDEST} wide`,
      );
    }
    const biasSteps = bias ? broadcastStrides(bias.shape, [b, h, t, s]) : [];
    const hidden: Operands = mask ? { mask: { x: expect(mask), steps: [s, 0, 0, 1] } } : {};
    const shifted: Operands = bias ? { bias: { x: expect(bias), steps: biasSteps } } : {};
    if (mask && bias) {
      const [bh, bt] = [h, t].map((n, axis) => biasSteps[axis + 1] === 0 ? 1 : n) as [number, number];
      const shape = [b, bh, bt, s];
      return temporary(shape, "f32", (both) => {
        const steps = strides(shape);
        const operands = [hidden["mask"]!, shifted["bias"]!, { x: both, steps }];
        eachTile(context, shape, operands, ({ sizes }, spans, starts) => {
          const [atMask, atBias, atY] = starts as [number, number, number];
          const [, nh, nt, ns] = sizes as [number, number, number, number];
          const n = size(sizes);
          const args = { n, nh, nt, ns, biasSteps, steps, maskStep: s, atMask, atBias, atY };
          stream.run(maskedBiasKernel, { spans, args, grid: each(n) });
        });
        problem(q, k, undefined, both, options, f);
      });
    }
    f({
      form: { d, mask: mask !== undefined, bias: bias !== undefined, lanes: open.software ? 8 : 64 },
      args: {
        ...{ t, s, h, g, scale: options.scale, causal: Number(options.causal), offset: options.offset },
        ...{ window: options.window, always: options.always, biasSteps },
      },
      added: { ...hidden, ...shifted },
    });
  };
  /** Visits the boxes of a problem, in ascending order of keys; `rows` holds `each` values per row. */
  const boxes = (
    [b, t, h]: readonly number[],
    s: number,
    operands: Operands,
    each: number,
    visit: (box: Box) => void,
  ): void => {
    const names = Object.keys(operands);
    eachTile(context, [b!, h!, t!, Math.max(1, s)], Object.values(operands), (tile, spans, starts) => {
      const at = (name: string): number => starts[names.indexOf(name)] ?? 0;
      const [sizes, from] = [tile.sizes, tile.from] as [Box["sizes"], Box["from"]];
      const args = {
        ...{ nh: sizes[1], nt: sizes[2], ns: Math.min(s, sizes[3]) },
        ...{ fromH: from[1], fromT: from[2], fromS: from[3] },
        ...{ atQ: at("q"), atK: at("k"), atRow: at("rows") / each, atMask: at("mask"), atBias: at("bias") },
        atSlope: at("slopes"),
      };
      visit({ spans, args, from, sizes });
    });
  };

  return {
    attention(q, k, v, mask, bias, options, out, lse) {
      if (size(q.shape) === 0) return;
      const { queries, keys, rows } = reaching(q, k);
      problem(q, k, mask, bias, options, ({ form, args, added }) => {
        const operands = {
          q: queries(q),
          k: keys(k),
          v: keys(v),
          ...added,
          y: queries(out),
          rows: rows(lse),
        };
        boxes(
          q.shape,
          k.shape[1]!,
          operands,
          1,
          ({ spans, args: own, from, sizes: [b, h, t, s] }) =>
            stream.run(made(attentionKernel, form), {
              spans,
              args: { ...args, ...own },
              constants: { LATER: Number(from[3] > 0) },
              grid: [Math.ceil(t / form.lanes), h, b],
              operations: 4 * b * h * t * s * form.d,
            }),
        );
      });
    },
    attentionGrad(q, k, v, mask, bias, options, out, lse, g, dq, dk, dv, dbias) {
      const [b, t, h, d] = q.shape as [number, number, number, number];
      const [, s, groups] = k.shape as [number, number, number, number];
      if (size(q.shape) === 0) {
        for (const x of [dk, dv]) if (size(x.shape) > 0) stream.clear(context.block(x), 4 * size(x.shape));
        return;
      }
      const { queries, keys, rows, slopes } = reaching(q, k);
      temporary([b * h * t, 2], "f32", (statistics) => {
        const known = { rows: rows(lse), q: queries(out), g: queries(g), statistics: rows(statistics, 2) };
        eachTile(context, [b, h, t, 1], Object.values(known), ({ from, sizes }, spans, starts) => {
          const [, nh, nt] = sizes as [number, number, number];
          const [atRow, atQ, , atStatistics] = starts as [number, number, number, number];
          const n = size(sizes);
          const args = { n, t, h, d, nh, nt, fromH: from[1]!, atQ, atRow, atStatistics: atStatistics / 2 };
          stream.run(statisticsKernel, { spans, args, grid: each(n) });
        });
        problem(q, k, mask, bias, options, ({ form, args, added }) => {
          const inputs: Operands = {
            ...{ q: queries(q), k: keys(k), v: keys(v), g: queries(g), rows: rows(statistics, 2) },
            ...added,
          };
          boxes(
            q.shape,
            s,
            { ...inputs, dq: queries(dq) },
            2,
            (box) =>
              stream.run(made(queryGradKernel, form), {
                spans: box.spans,
                args: { ...args, ...box.args },
                constants: { LATER: Number(box.from[3] > 0) },
                grid: [Math.ceil(box.sizes[2] / form.lanes), box.sizes[1], box.sizes[0]],
                operations: 6 * size(box.sizes) * d,
              }),
          );
          if (s === 0) return;
          boxes(
            q.shape,
            s,
            { ...inputs, dk: keys(dk), dv: keys(dv) },
            2,
            (box) =>
              stream.run(made(keyGradKernel, form), {
                spans: box.spans,
                args: { ...args, ...box.args },
                constants: { LATER: Number(box.from[1] > 0 || box.from[2] > 0) },
                grid: [Math.ceil(box.sizes[3] / form.lanes), groups, box.sizes[0]],
                operations: 8 * size(box.sizes) * d,
              }),
          );
          if (dbias === undefined) return;
          boxes(q.shape, s, { ...inputs, slopes: slopes(dbias) }, 2, (box) => {
            const n = size(box.sizes);
            stream.run(made(biasGradKernel, form), {
              spans: box.spans,
              args: { ...args, ...box.args, n },
              grid: each(n),
              operations: 4 * n * d,
            });
          });
        });
      });
    },
  };
}

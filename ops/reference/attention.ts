/**
 * Attention, written out: for every batch b, head h and query i the scores of all visible keys, their softmax, the
 * weighted sum of values; and its derivatives.
 */
import type { AttentionOptions, Operand } from "../../tensor/backend.ts";
import { size } from "../../tensor/shape.ts";
import { logSumExp } from "./reduce.ts";
import { broadcastStrides } from "../../tensor/walk.ts";
import { floats, numbers } from "./storage.ts";
import { exp } from "../../elementary/exponential.ts";

/**
 * Whether query i sees key j, before the mask: causal order and window, except for the first `always` keys.
 */
export function visible(i: number, j: number, options: AttentionOptions): boolean {
  const behind = i + options.offset - j;
  if (j < options.always) return true;
  if (options.causal && behind < 0) return false;
  return options.window === 0 || behind <= options.window;
}

/** The location of one query: where its vectors start, and which head of k and v it reads. */
interface Query {
  /** Row of lse and of the scores: (batch · h + head) · t + i. */
  readonly row: number;
  /** Offset of q, out and their gradients. */
  readonly at: number;
  /** Offset of key (or value) j. */
  key(j: number): number;
  /** Scores of all keys; −∞ where hidden. */
  scores(): Float64Array;
}

function* queries(
  q: Operand,
  k: Operand,
  mask: Operand | undefined,
  bias: Operand | undefined,
  options: AttentionOptions,
): Generator<Query> {
  const [b, t, h, d] = q.shape as [number, number, number, number];
  const [, s, g] = k.shape as [number, number, number, number];
  const [qs, ks] = [numbers(q), numbers(k)];
  const seen = mask && numbers(mask);
  const added = bias && numbers(bias);
  const [stepB, stepH, stepT, stepS] = bias ? broadcastStrides(bias.shape, [b, h, t, s]) : [0, 0, 0, 0];
  for (let batch = 0; batch < b; batch++) {
    for (let head = 0; head < h; head++) {
      const shared = Math.floor(head / (h / g)); // the head of k and v that this group of queries reads
      for (let i = 0; i < t; i++) {
        const at = ((batch * t + i) * h + head) * d;
        const key = (j: number) => ((batch * s + j) * g + shared) * d;
        const score = (_: number, j: number) => {
          if (!visible(i, j, options) || (seen && seen[batch * s + j] === 0)) return -Infinity;
          let dot = 0;
          for (let c = 0, from = key(j); c < d; c++) dot += qs[at + c]! * ks[from + c]!;
          const extra = added?.[batch * stepB! + head * stepH! + i * stepT! + j * stepS!] ?? 0;
          return options.scale * dot + extra;
        };
        yield { row: (batch * h + head) * t + i, at, key, scores: () => new Float64Array(s).map(score) };
      }
    }
  }
}

/** out = softmax(scale · q kᵀ + bias) v. A query that sees no key gives zeros and an lse of −∞. */
export function attention(
  q: Operand,
  k: Operand,
  v: Operand,
  mask: Operand | undefined,
  bias: Operand | undefined,
  options: AttentionOptions,
  out: Operand,
  lse: Operand,
): void {
  const d = q.shape[3]!;
  const [vs, to, totals] = [numbers(v), floats(out), floats(lse)];
  const sum = new Float64Array(d);
  for (const query of queries(q, k, mask, bias, options)) {
    const scores = query.scores();
    const total = logSumExp(scores, 0, scores.length);
    totals[query.row] = total;
    sum.fill(0);
    scores.forEach((score, j) => {
      if (score === -Infinity) return;
      const weight = exp(score - total);
      for (let c = 0, from = query.key(j); c < d; c++) sum[c]! += weight * vs[from + c]!;
    });
    to.set(sum, query.at);
  }
}

/** With p the softmax: dv = pᵀ g, ds = p ⊙ (g vᵀ − rowsum(g ⊙ out)), dq = scale · ds k, dk = scale · dsᵀ q. */
export function attentionGrad(
  q: Operand,
  k: Operand,
  v: Operand,
  mask: Operand | undefined,
  bias: Operand | undefined,
  options: AttentionOptions,
  out: Operand,
  lse: Operand,
  g: Operand,
  dq: Operand,
  dk: Operand,
  dv: Operand,
  dbias: Operand | undefined,
): void {
  const d = q.shape[3]!;
  const s = k.shape[1]!;
  const [qs, ks, vs] = [numbers(q), numbers(k), numbers(v)];
  const [outs, totals, upstream] = [numbers(out), numbers(lse), numbers(g)];
  const queryGrads = new Float64Array(qs.length);
  const keyGrads = new Float64Array(size(k.shape));
  const valueGrads = new Float64Array(size(v.shape));
  const biasGrads = dbias && floats(dbias).fill(0);
  for (const { row, at, key, scores } of queries(q, k, mask, bias, options)) {
    let mean = 0;
    for (let c = 0; c < d; c++) mean += upstream[at + c]! * outs[at + c]!;
    scores().forEach((score, j) => {
      if (score === -Infinity) return;
      const weight = exp(score - totals[row]!);
      const from = key(j);
      let dot = 0;
      for (let c = 0; c < d; c++) {
        dot += upstream[at + c]! * vs[from + c]!;
        valueGrads[from + c]! += weight * upstream[at + c]!;
      }
      const slope = weight * (dot - mean);
      if (biasGrads) biasGrads[row * s + j] = slope;
      for (let c = 0; c < d; c++) {
        queryGrads[at + c]! += options.scale * slope * ks[from + c]!;
        keyGrads[from + c]! += options.scale * slope * qs[at + c]!;
      }
    });
  }
  floats(dq).set(queryGrads);
  floats(dk).set(keyGrads);
  floats(dv).set(valueGrads);
}

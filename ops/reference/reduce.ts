/** Reductions, softmax and cross-entropy: kernels that fold an axis. Sums are f64. */
import type { Operand, ReduceOp } from "../../tensor/backend.ts";
import { rowsAndWidth } from "../../tensor/shape.ts";
import { floats, integers, numbers } from "./storage.ts";
import { rangeError } from "../../errors/error.ts";
import { exp, log } from "../../elementary/exponential.ts";

const FOLD: { readonly [op in ReduceOp]: readonly [number, (a: number, b: number) => number] } = {
  sum: [0, (a, b) => a + b],
  max: [-Infinity, Math.max],
  min: [Infinity, Math.min],
};

/** x seen as [outer, n, inner] → [outer, inner]. */
export function reduce(
  op: ReduceOp,
  x: Operand,
  outer: number,
  n: number,
  inner: number,
  out: Operand,
): void {
  const [start, f] = FOLD[op];
  const [from, to] = [numbers(x), floats(out)];
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      let value = start;
      for (let j = 0; j < n; j++) value = f(value, from[(o * n + j) * inner + i]!);
      to[o * inner + i] = value;
    }
  }
}

/** Index of the first largest element of each row. */
export function argmax(x: Operand, out: Operand): void {
  const { width } = rowsAndWidth(x.shape);
  const [from, to] = [numbers(x), integers(out)];
  for (let row = 0; row < to.length; row++) {
    let best = 0;
    for (let j = 1; j < width; j++) {
      if (from[row * width + j]! > from[row * width + best]!) best = j;
    }
    to[row] = best;
  }
}

/** log Σ exp over `width` values from `start`; −∞ when all are. */
export function logSumExp(x: ArrayLike<number>, start: number, width: number): number {
  let largest = -Infinity;
  for (let j = 0; j < width; j++) largest = Math.max(largest, x[start + j]!);
  if (largest === -Infinity) return -Infinity;
  let sum = 0;
  for (let j = 0; j < width; j++) sum += exp(x[start + j]! - largest);
  return largest + log(sum);
}

/** exp(x − log Σ exp) per row; a row of −∞ gives zeros. */
export function softmax(x: Operand, out: Operand): void {
  const { rows, width } = rowsAndWidth(x.shape);
  const [from, to] = [numbers(x), floats(out)];
  for (let row = 0; row < rows; row++) {
    const total = logSumExp(from, row * width, width);
    for (let i = row * width; i < (row + 1) * width; i++) {
      to[i] = total === -Infinity ? 0 : exp(from[i]! - total);
    }
  }
}

/** dx = y ⊙ (g − Σ g ⊙ y). */
export function softmaxGrad(y: Operand, g: Operand, out: Operand): void {
  const { rows, width } = rowsAndWidth(y.shape);
  const [ys, gs, to] = [numbers(y), numbers(g), floats(out)];
  for (let row = 0; row < rows; row++) {
    let dot = 0;
    for (let i = row * width; i < (row + 1) * width; i++) dot += gs[i]! * ys[i]!;
    for (let i = row * width; i < (row + 1) * width; i++) to[i] = ys[i]! * (gs[i]! - dot);
  }
}

/** The label that marks a row without a target. */
const IGNORED = -100;

/** loss = lse − (1 − s) · logit[label] − s · mean(logits). */
export function crossEntropy(
  logits: Operand,
  labels: Operand,
  smoothing: number,
  loss: Operand,
  lse: Operand,
): void {
  const { rows, width } = rowsAndWidth(logits.shape);
  const [x, targets, losses, totals] = [numbers(logits), integers(labels), floats(loss), floats(lse)];
  for (let row = 0; row < rows; row++) {
    const start = row * width;
    const total = logSumExp(x, start, width);
    totals[row] = total;
    const label = labelAt(targets, row, width);
    if (label === IGNORED) {
      losses[row] = 0;
      continue;
    }
    let value = total - (1 - smoothing) * x[start + label]!;
    // Without smoothing the mean must not enter: 0 times a logit of −∞ is NaN.
    if (smoothing !== 0) {
      let sum = 0;
      for (let j = 0; j < width; j++) sum += x[start + j]!;
      value -= smoothing * sum / width;
    }
    losses[row] = value;
  }
}

/** dlogits = g[row] · (softmax − (1 − s) · onehot − s/v). */
export function crossEntropyGrad(
  logits: Operand,
  labels: Operand,
  smoothing: number,
  lse: Operand,
  g: Operand,
  dlogits: Operand,
): void {
  const { rows, width } = rowsAndWidth(logits.shape);
  const [x, targets, totals] = [numbers(logits), integers(labels), numbers(lse)];
  const [upstream, to] = [numbers(g), floats(dlogits)];
  for (let row = 0; row < rows; row++) {
    const label = labelAt(targets, row, width);
    for (let j = 0; j < width; j++) {
      const at = row * width + j;
      const hot = j === label ? 1 - smoothing : 0;
      to[at] = label === IGNORED
        ? 0
        : upstream[row]! * (exp(x[at]! - totals[row]!) - hot - smoothing / width);
    }
  }
}

function labelAt(labels: Int32Array, row: number, width: number): number {
  const label = labels[row]!;
  if (label !== IGNORED && (label < 0 || label >= width)) {
    throw rangeError(
      "INVALID_TENSOR",
      `Cannot take the crossEntropy of label ${label} in row ${row}: labels are 0 to ${width - 1}, or -100`,
    );
  }
  return label;
}

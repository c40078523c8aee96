/** Matrix products: out = a · b over the last two axes, sums in f64. */
import type { Operand } from "../../tensor/backend.ts";
import { broadcastStrides } from "../../tensor/walk.ts";
import { floats, numbers, walk } from "./storage.ts";

/** Leading axes broadcast; b may be stored in any dtype. */
export function matmul(
  a: Operand,
  b: Operand,
  options: { readonly transposeA: boolean; readonly transposeB: boolean },
  out: Operand,
): void {
  const [m, n] = out.shape.slice(-2) as [number, number];
  const k = a.shape[a.shape.length - (options.transposeA ? 2 : 1)]!;
  const [x, y, to] = [numbers(a), numbers(b), floats(out)];
  const lead = out.shape.slice(0, -2);
  const left = walk(lead, broadcastStrides(a.shape.slice(0, -2), lead));
  const right = walk(lead, broadcastStrides(b.shape.slice(0, -2), lead));
  const row = new Float64Array(k);
  const sums = new Float64Array(n);
  for (let batch = 0; batch < left.length; batch++) {
    const [aStart, bStart] = [left[batch]! * m * k, right[batch]! * k * n];
    for (let i = 0; i < m; i++) {
      for (let p = 0; p < k; p++) row[p] = x[aStart + (options.transposeA ? p * m + i : i * k + p)]!;
      if (options.transposeB) rowTimesTransposed(row, y, bStart, sums);
      else rowTimes(row, y, bStart, sums);
      to.set(sums, (batch * m + i) * n);
    }
  }
}

/** sums[j] = Σ row[p] · y[p, j]. */
function rowTimes(row: Float64Array, y: ArrayLike<number>, start: number, sums: Float64Array): void {
  sums.fill(0);
  for (let p = 0, at = start; p < row.length; p++) {
    for (let j = 0; j < sums.length; j++) sums[j]! += row[p]! * y[at++]!;
  }
}

/** sums[j] = Σ row[p] · y[j, p]. */
function rowTimesTransposed(
  row: Float64Array,
  y: ArrayLike<number>,
  start: number,
  sums: Float64Array,
): void {
  for (let j = 0, at = start; j < sums.length; j++) {
    let sum = 0;
    for (let p = 0; p < row.length; p++) sum += row[p]! * y[at++]!;
    sums[j] = sum;
  }
}

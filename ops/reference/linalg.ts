/**
 * QR by Householder reflections, SVD by one-sided Jacobi rotations, order statistics by sorting; all in f64.
 */
import type { Operand } from "../../tensor/backend.ts";
import { showShape } from "../../tensor/shape.ts";
import { floats, numbers } from "./storage.ts";
import { rangeError } from "../../errors/error.ts";
import { hypot } from "../../elementary/exponential.ts";

/** A matrix as its columns. */
type Columns = readonly Float64Array[];

/** Thin QR with a nonnegative diagonal of r (Golub and Van Loan, Matrix Computations, algorithm 5.2.1). */
export function qr(x: Operand, q: Operand, r: Operand): void {
  const [m, n] = x.shape as [number, number];
  const k = Math.min(m, n);
  const a = columnsOf(x);
  // Reflector j is I − 2 v vᵀ and clears column j below the diagonal.
  const reflectors: Float64Array[] = [];
  for (let j = 0; j < k; j++) {
    const v = a[j]!.map((value, i) => i < j ? 0 : value);
    v[j]! += (v[j]! < 0 ? -1 : 1) * norm(v);
    const length = norm(v);
    if (length > 0) { for (let i = 0; i < m; i++) v[i]! /= length; }
    reflectors.push(v);
    for (const column of a) reflect(v, column);
  }
  const signs = Array.from({ length: k }, (_, i) => a[i]![i]! < 0 ? -1 : 1);
  const unit = Array.from({ length: k }, (_, j) => {
    const column = new Float64Array(m);
    column[j] = signs[j]!;
    for (let i = k - 1; i >= 0; i--) reflect(reflectors[i]!, column);
    return column;
  });
  writeColumns(unit, floats(q));
  const upper = floats(r);
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < n; j++) upper[i * n + j] = j < i ? 0 : signs[i]! * a[j]![i]!;
  }
}

/** Thin SVD (Hestenes 1958): rotates pairs of columns until all are orthogonal; their lengths are the singular values. */
export function svd(x: Operand, u: Operand, s: Operand, vt: Operand): void {
  const [m, n] = x.shape as [number, number];
  if (numbers(x).some((value: number) => !Number.isFinite(value))) {
    throw rangeError("NOT_FINITE", `Cannot svd ${showShape(x.shape)}: it has an entry that is not finite`);
  }
  // A wide matrix is factored as the transpose of a tall one.
  const tall = m >= n;
  const a = tall ? columnsOf(x) : rowsOf(x);
  const k = a.length;
  const v: Columns = Array.from({ length: k }, (_, j) => new Float64Array(k).fill(1, j, j + 1));
  orthogonalise(a, v);
  const order = a.map((column, j) => ({ j, length: norm(column) })).sort((p, q) => q.length - p.length);
  const left = completed(order.map(({ j }) => a[j]!));
  const right = order.map(({ j }) => v[j]!);
  const [columns, rows] = tall ? [left, right] : [right, left];
  for (let j = 0; j < k; j++) {
    if (leading(columns[j]!) >= 0) continue;
    for (const vector of [columns[j]!, rows[j]!]) vector.forEach((value, i) => vector[i] = -value);
  }
  writeColumns(columns, floats(u));
  floats(s).set(order.map(({ length }) => length));
  const rowsTo = floats(vt);
  rows.forEach((row, j) => rowsTo.set(row, j * n));
}

/** out = the element at position `rank` in ascending order. */
export function orderStatistic(x: Operand, rank: number, out: Operand): void {
  floats(out)[0] = Float64Array.from(numbers(x)).sort()[rank]!;
}

/** Rotates the columns of a, and those of v with them, until every two of a are orthogonal to f64 precision. */
function orthogonalise(a: Columns, v: Columns): void {
  for (let sweep = 0, rotated = true; rotated && sweep < 60; sweep++) {
    rotated = false;
    for (let p = 0; p < a.length; p++) {
      for (let q = p + 1; q < a.length; q++) {
        const [alpha, beta, gamma] = [dot(a[p]!, a[p]!), dot(a[q]!, a[q]!), dot(a[p]!, a[q]!)];
        if (Math.abs(gamma) <= 1e-15 * Math.sqrt(alpha * beta)) continue;
        rotated = true;
        const zeta = (beta - alpha) / (2 * gamma);
        const t = Math.sign(zeta || 1) / (Math.abs(zeta) + hypot(1, zeta));
        const c = 1 / hypot(1, t);
        rotate(a[p]!, a[q]!, c, c * t);
        rotate(v[p]!, v[q]!, c, c * t);
      }
    }
  }
}

function rotate(p: Float64Array, q: Float64Array, c: number, s: number): void {
  for (let i = 0; i < p.length; i++) {
    const [x, y] = [p[i]!, q[i]!];
    p[i] = c * x - s * y;
    q[i] = s * x + c * y;
  }
}

/**
 * Columns normalized to unit length; those of (nearly) zero length are replaced by unit vectors orthogonal to
 * all others.
 */
function completed(columns: Columns): Columns {
  const longest = columns.length === 0 ? 0 : norm(columns[0]!);
  const basis: Float64Array[] = [];
  for (const column of columns) {
    const length = norm(column);
    if (length > 1e-13 * longest) basis.push(column.map((value) => value / length));
    else basis.push(orthogonalTo(basis, column.length));
  }
  return basis;
}

/** The coordinate vector with the smallest projection on the basis, orthogonalized to it. */
function orthogonalTo(basis: Columns, n: number): Float64Array {
  const rest = Array.from({ length: n }, (_, i) => 1 - basis.reduce((sum, b) => sum + b[i]! * b[i]!, 0));
  const vector = new Float64Array(n);
  vector[rest.indexOf(Math.max(...rest))] = 1;
  for (let pass = 0; pass < 2; pass++) {
    for (const b of basis) {
      const along = dot(b, vector);
      for (let i = 0; i < n; i++) vector[i]! -= along * b[i]!;
    }
  }
  const length = norm(vector);
  return vector.map((value) => value / length);
}

/** x − 2 v (v · x), in place. */
function reflect(v: Float64Array, x: Float64Array): void {
  const twice = 2 * dot(v, x);
  for (let i = 0; i < x.length; i++) x[i]! -= twice * v[i]!;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

const norm = (x: Float64Array): number => Math.sqrt(dot(x, x));

/** The entry of largest magnitude, the first one on ties. */
function leading(x: Float64Array): number {
  return x.reduce((largest, value) => Math.abs(value) > Math.abs(largest) ? value : largest, 0);
}

function columnsOf(x: Operand): Columns {
  const [m, n] = x.shape as [number, number];
  const values = numbers(x);
  return Array.from({ length: n }, (_, j) => Float64Array.from({ length: m }, (_, i) => values[i * n + j]!));
}

function rowsOf(x: Operand): Columns {
  const [m, n] = x.shape as [number, number];
  return Array.from({ length: m }, (_, i) => Float64Array.from(numbers(x).subarray(i * n, (i + 1) * n)));
}

function writeColumns(columns: Columns, out: Float32Array): void {
  columns.forEach((column, j) => column.forEach((value, i) => out[i * columns.length + j] = value));
}

/**
 * Factorisations of matrices, for methods whose initialization uses the structure of a matrix or of
 * activations. Not differentiable. The exact ones exist on the reference and wasm backends; on others use
 * `factorised`.
 */
import {
  type Backend,
  defineKernel,
  fold,
  type Kernel,
  type Key,
  showShape,
  size,
  type Tensor,
} from "../tensor/mod.ts";
import { normal } from "./create.ts";
import { multiply } from "./binary.ts";
import { abs, sign } from "./unary.ts";
import { argmax, gatherLast } from "./gather.ts";
import { matmul } from "./matmul.ts";
import { reshape, slice, transpose } from "./movement.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** x = q r. */
export interface Qr {
  /** [m, k], orthonormal columns; k = min(m, n). */
  readonly q: Tensor;
  /** [k, n], upper triangular with a nonnegative diagonal. */
  readonly r: Tensor;
}

/** x = u diag(s) vt. */
export interface Svd {
  /** [m, k], orthonormal columns; the entry of largest magnitude in each is positive. */
  readonly u: Tensor;
  /** [k], descending. */
  readonly s: Tensor;
  /** [k, n], orthonormal rows. */
  readonly vt: Tensor;
}

const qrKernel: Kernel<void> = defineKernel({
  name: "qr",
  shape: ([x]) => {
    const [m, n] = matrixShape("qr", x!);
    return [[m, Math.min(m, n)], [Math.min(m, n), n]];
  },
  run: (backend, [x], [q, r]) => having(backend, "qr")(x!, q!, r!),
});

const svdKernel: Kernel<void> = defineKernel({
  name: "svd",
  shape: ([x]) => {
    const [m, n] = matrixShape("svd", x!);
    const k = Math.min(m, n);
    return [[m, k], [k], [k, n]];
  },
  run: (backend, [x], [u, s, vt]) => having(backend, "svd")(x!, u!, s!, vt!),
});

const orderKernel: Kernel<number> = defineKernel({
  name: "orderStatistic",
  shape: ([x], rank) => {
    if (!Number.isInteger(rank) || rank < 0 || rank >= x!.size) {
      throw rangeError("INVALID_TENSOR", `Cannot take place ${rank} of ${x!.size} elements in order`);
    }
    return [[]];
  },
  run: (backend, [x], [out], rank) => having(backend, "orderStatistic")(x!, rank, out!),
});

/**
 * The thin QR factorisation of x [m, n], made unique by the sign of the diagonal.
 *
 * @throws {RangeError} when x is not a matrix or is empty.
 * @throws {TypeError} when the backend has no QR.
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { qr } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const { q, r } = qr(tensor([[0, -2], [3, 1]], { backend: reference() }));
 * assert.deepEqual([...await read(r)].map(Math.round), [3, 1, 0, 2]);
 * assert.deepEqual([...await read(q)].map((n) => Math.round(n) + 0), [0, -1, 1, 0]);
 * ```
 */
export function qr(x: Tensor): Qr {
  const [q, r] = qrKernel([x], undefined);
  return { q: q!, r: r! };
}

/**
 * The thin singular value decomposition of x [m, n], with signs fixed so that it is unique where the values differ.
 *
 * @throws {RangeError} when x is not a matrix, is empty, or has an entry that is not finite.
 * @throws {TypeError} when the backend has no SVD.
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { svd } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const { s } = svd(tensor([[0, 3], [-2, 0], [0, 0]], { backend: reference() }));
 * assert.deepEqual([...await read(s)], [3, 2]);
 * ```
 */
export function svd(x: Tensor): Svd {
  const [u, s, vt] = svdKernel([x], undefined);
  return { u: u!, s: s!, vt: vt! };
}

/**
 * The element of x at position `rank` (from 0) in ascending order: a scalar.
 *
 * @throws {RangeError} when there is none.
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { orderStatistic } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[30, 10], [20, 40]], { backend: reference() });
 * assert.deepEqual([...await read(orderStatistic(x, 1))], [20]); // second from below
 * ```
 */
export function orderStatistic(x: Tensor, rank: number): Tensor {
  return orderKernel([x], rank)[0]!;
}

/**
 * The first r singular triples of a decomposition.
 *
 * @example
 * ```ts
 * import { reference } from "@graft/peft/ops/reference";
 * import assert from "node:assert/strict";
 * import { identity, leading, svd } from "@graft/peft/ops";
 * const { u, s } = leading(svd(identity(3, reference())), 2);
 * assert.deepEqual([u.shape, s.shape], [[3, 2], [2]]);
 * ```
 */
export function leading({ u, s, vt }: Svd, r: number): Svd {
  return { u: slice(u, 1, 0, r), s: slice(s, 0, 0, r), vt: slice(vt, 0, 0, r) };
}

/** How to approximate a decomposition. */
export interface RandomizedSvdOptions {
  /** Number of singular triples. */
  readonly rank: number;
  /** Subspace iterations, default 4. */
  readonly iterations?: number;
  /** Columns sampled beyond the rank, default 8. */
  readonly oversampling?: number;
  /** Key of the random numbers. */
  readonly key: Key;
}

/**
 * Approximately the first `rank` singular triples of x [m, n]: those of x projected to a random subspace that
 * iterations of x xᵀ have aligned with its leading directions (Halko, Martinsson and Tropp 2011, arXiv
 * 0909.4061, algorithms 4.4 and 5.1).
 *
 * @throws {RangeError} as `svd`, and when the rank is not from 1 to min(m, n).
 * @example
 * ```ts
 * import { key, read, reference } from "@graft/peft";
 * import { matmul, multiply, normal, randomizedSvd } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * // A matrix of rank 2: two triples tell all of it.
 * const backend = reference();
 * const x = matmul(normal(key(1), [20, 2], backend), normal(key(2), [2, 12], backend));
 * const { u, s, vt } = randomizedSvd(x, { rank: 2, key: key(0) });
 * const [expected, found] = [await read(x), await read(matmul(multiply(u, s), vt))];
 * assert.ok(expected.every((value, i) => Math.abs(value - found[i]!) < 1e-4));
 * ```
 */
export function randomizedSvd(x: Tensor, options: RandomizedSvdOptions): Svd {
  const { rank, iterations = 4, oversampling = 8, key } = options;
  const [m, n] = matrixShape("randomizedSvd", x);
  if (!Number.isInteger(rank) || rank < 1 || rank > Math.min(m, n)) {
    throw rangeError(
      "INVALID_TENSOR",
      `Cannot take rank ${rank} of ${showShape(x.shape)}: it has ranks 1 to ${Math.min(m, n)}`,
    );
  }
  const width = Math.min(rank + oversampling, m, n);
  const sample = normal(fold(key, "range"), [n, width], x.backend);
  let { q } = qr(matmul(x, sample)); // [m, width]
  for (let i = 0; i < iterations; i++) {
    const { q: back } = qr(matmul(x, q, { transposeA: true })); // [n, width]
    q = qr(matmul(x, back)).q;
  }
  const small = svd(matmul(q, x, { transposeA: true })); // of [width, n]
  const u = matmul(q, small.u);
  const { u: signed, vt } = withSigns(u, small.vt);
  return leading({ u: signed, s: small.s, vt }, rank);
}

/** The pairs of vectors with the sign convention of `svd`. */
function withSigns(u: Tensor, vt: Tensor): { readonly u: Tensor; readonly vt: Tensor } {
  const columns = transpose(u); // [k, m]
  const largest = reshape(argmax(abs(columns)), [-1, 1]); // [k, 1]
  const signs = sign(gatherLast(columns, largest));
  return { u: multiply(u, reshape(signs, [1, -1])), vt: multiply(vt, signs) };
}

function matrixShape(op: string, x: Tensor): readonly [m: number, n: number] {
  const [m, n] = x.shape;
  if (x.shape.length !== 2 || size(x.shape) === 0) {
    throw rangeError(
      "INVALID_TENSOR",
      `Cannot ${op} ${showShape(x.shape)}: expected a matrix with at least one element`,
    );
  }
  return [m!, n!];
}

function having<K extends "qr" | "svd" | "orderStatistic">(
  backend: Backend,
  name: K,
): NonNullable<Backend[K]> {
  const kernel = backend[name];
  if (kernel === undefined) {
    throw typeError(
      "BACKEND_UNAVAILABLE",
      `The ${backend.name} backend has no ${name}: compute it on wasm and move the result`,
    );
  }
  return kernel.bind(backend) as NonNullable<Backend[K]>;
}

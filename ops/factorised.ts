/**
 * Factorisations of a tensor on any backend: without suitable kernels, computed on the host and copied back.
 */
import {
  type Backend,
  bytesOf,
  fromBytes,
  scope,
  type Synchronous,
  Tensor,
  tensorsIn,
} from "../tensor/mod.ts";
import { reference } from "./reference/mod.ts";

/**
 * The host backend for operations that a backend cannot do, or not synchronously: the backend itself, or the
 * reference for the GPU.
 *
 * @example
 * ```ts
 * import { hostOf } from "@graft/peft/ops";
 * import { reference } from "@graft/peft/ops/reference";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * assert.equal(hostOf(backend), backend); // it has the factorisations itself
 * ```
 */
export function hostOf(backend: Backend): Backend {
  return backend.svd === undefined ? reference() : backend;
}

/** Tensors by name, or records of them, possibly along with plain values. */
export type Named = { readonly [name: string]: unknown };

/**
 * Applies `f`, which may use `qr`, `svd` or `orderStatistic`, to a tensor or a record of tensors, and returns
 * a record. The result is on the tensors' backend and owned by the caller. On the GPU the tensors are read
 * back, and `f` runs on a host backend.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { factorised, svd } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * // On any backend, a GPU's too: singular values are found on the host.
 * const x = tensor([[3, 0], [0, 2]], { backend: reference() });
 * const { s } = await factorised(x, (x) => svd(x));
 * assert.deepEqual([...await read(s)], [3, 2]);
 * ```
 */
export async function factorised<X extends Tensor | Named, F extends object>(
  x: X,
  f: (x: X) => F,
): Promise<F> {
  const backend = tensorsIn(x)[0]!.backend;
  const host = hostOf(backend);
  if (host === backend) return scope(() => f(x) as Synchronous<F>);
  const input = x instanceof Tensor ? await moved(x, host) : await movedAll(x as Named, host);
  const results = scope(() => f(input as X) as Synchronous<F>);
  const back = await movedAll(results as Named, backend);
  for (const t of new Set([...tensorsIn(results), ...tensorsIn(input)])) t.storage.free();
  return back as F;
}

async function movedAll(record: Named, backend: Backend): Promise<Named> {
  const to = (value: unknown): unknown => {
    if (value instanceof Tensor) return moved(value, backend);
    return typeof value === "object" && value !== null ? movedAll(value as Named, backend) : value;
  };
  const entries = Object.entries(record).map(async ([name, value]) => [name, await to(value)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

async function moved(x: Tensor, backend: Backend): Promise<Tensor> {
  return fromBytes(await bytesOf(x), x.shape, x.dtype, backend);
}

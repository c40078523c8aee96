/** Factorisations of a tensor on any backend: where there are no kernels for them, on the host and back. */
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
 * A backend of the host for what a backend cannot do, or not without a wait: itself, or for the GPU the reference.
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

/** Tensors by name, or records of them, beside which plain values may stand. */
export type Named = { readonly [name: string]: unknown };

/**
 * `f` of a tensor, or of a record of tensors: a record, where `f` uses `qr`, `svd` or `orderStatistic`. The result lies on
 * the tensors' backend and is the caller's. On the GPU the tensors are read, and `f` runs on a backend of the host.
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

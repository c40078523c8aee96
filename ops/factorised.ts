/** Factorisations of a tensor on any backend: where there are no kernels for them, on the host and back. */
import {
  type Backend,
  bytesOf,
  fromBytes,
  scope,
  type Synchronous,
  type Tensor,
} from "../core/tensor/mod.ts";
import { reference } from "./reference/mod.ts";

/**
 * `f` of a tensor, a record of tensors, where `f` uses `qr`, `svd` or `orderStatistic`. The result lies on the tensor's
 * backend and is the caller's. On the GPU the tensor is read, and `f` runs on a backend of the host.
 */
export async function factorised<F extends object>(x: Tensor, f: (x: Tensor) => F): Promise<F> {
  const { backend } = x;
  if (backend.svd !== undefined) return scope(() => f(x) as Synchronous<F>);
  const host = reference();
  const input = await moved(x, host);
  const results = scope(() => f(input) as Synchronous<F>);
  const back: [string, Tensor][] = [];
  for (const [name, t] of Object.entries<Tensor>(results as { readonly [name: string]: Tensor })) {
    back.push([name, await moved(t, backend)]);
    t.storage.free();
  }
  input.storage.free();
  return Object.fromEntries(back) as F;
}

async function moved(x: Tensor, backend: Backend): Promise<Tensor> {
  return fromBytes(await bytesOf(x), x.shape, x.dtype, backend);
}

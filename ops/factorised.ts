/** Factorisations of a tensor on any backend: where there are no kernels for them, on the host and back. */
import { type Backend, read, scope, type Synchronous, type Tensor, tensor } from "../core/tensor/mod.ts";
import { reference } from "./reference/mod.ts";

/** Named results. */
export type Factors<F> = { readonly [K in keyof F]: Tensor };

/**
 * `f` of a tensor, where `f` uses `qr`, `svd` or `orderStatistic`. The result lies on the tensor's backend and is the
 * caller's. On the GPU the tensor is read, and `f` runs on a backend of the host.
 */
export async function factorised<F extends Factors<F>>(x: Tensor, f: (x: Tensor) => F): Promise<F> {
  const { backend } = x;
  if (backend.svd !== undefined) return scope(() => f(x) as Synchronous<F>);
  const host = reference();
  const input = await moved(x, host);
  const results = scope(() => f(input) as Synchronous<F>);
  const back: [string, Tensor][] = [];
  for (const [name, t] of Object.entries<Tensor>(results)) {
    back.push([name, await moved(t, backend)]);
    t.storage.free();
  }
  input.storage.free();
  return Object.fromEntries(back) as F;
}

async function moved(x: Tensor, backend: Backend): Promise<Tensor> {
  return tensor(await read(x), { backend, shape: x.shape });
}

/** The step of bench/peers/lora_gpu.ts in @jax-js/jax, compiled by its jit, on its webgpu backend. */
import { servePeer } from "./serve.ts";

const { m, n, k, inner = 10, times = 1 } = JSON.parse(Deno.args[0]!);
const name = "npm:@jax-js/jax@0.1.25";
// deno-lint-ignore no-explicit-any -- the package has no types here
const jax: any = await import(name);
const { init, defaultDevice, numpy: np, blockUntilReady, jit, valueAndGrad, tree } = jax;
await init("webgpu");
defaultDevice("webgpu");
const [x, w, a, b] = [np.ones([m, k]), np.ones([k, n]), np.ones([k, 8]), np.ones([8, n])];
const step = jit(valueAndGrad(
  // deno-lint-ignore no-explicit-any -- as above
  (p: any, x: any, w: any) => {
    const y = np.matmul(x.ref, w).add(np.matmul(np.matmul(x, p.a), p.b));
    return y.ref.mul(y).mean();
  },
));
await servePeer({ "@jax-js/jax": "0.1.25" }, async () => {
  const results = Array.from({ length: inner }, () => step({ a: a.ref, b: b.ref }, x.ref, w.ref));
  await blockUntilReady(results.map((r) => tree.ref(r)));
  tree.dispose(results);
}, times);
Deno.exit(0);

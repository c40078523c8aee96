/** The products of bench/peers/product_gpu.ts in @jax-js/jax, on its webgpu backend. */
import { servePeer } from "./serve.ts";

const { m, n, k, inner = 10, times = 1 } = JSON.parse(Deno.args[0]!);
// The package is named at run time, so that checking this project does not fetch it.
const name = "npm:@jax-js/jax@0.1.25";
const { init, defaultDevice, numpy, blockUntilReady } = await import(name);
await init("webgpu");
defaultDevice("webgpu");
const [x, w] = [numpy.ones([m, k]), numpy.ones([k, n])];
await servePeer({ "@jax-js/jax": "0.1.25" }, async () => {
  const products = Array.from({ length: inner }, () => numpy.matmul(x.ref, w.ref));
  await blockUntilReady(products.map((y) => y.ref));
  for (const y of products) y.dispose();
}, times);
Deno.exit(0);

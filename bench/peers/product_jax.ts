/** The product of bench/peers/product.ts in @jax-js/jax, on its wasm backend. */
import { servePeer } from "./serve.ts";

const { m, n, k, times = 20 } = JSON.parse(Deno.args[0]!);
// The package is named at run time, so that checking this project does not fetch it.
const name = "npm:@jax-js/jax@0.1.25";
const { init, defaultDevice, numpy, blockUntilReady } = await import(name);
await init("wasm");
defaultDevice("wasm");
const x = numpy.ones([m, k]);
const w = numpy.ones([k, n]);
await servePeer({ "@jax-js/jax": "0.1.25" }, async () => {
  const y = numpy.matmul(x.ref, w.ref);
  await blockUntilReady(y.ref);
  y.dispose();
}, times);
Deno.exit(0);

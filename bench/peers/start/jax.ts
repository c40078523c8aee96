/** From nothing to the first product of @jax-js/jax. */
const name = "npm:@jax-js/jax@0.1.25";
const { init, defaultDevice, numpy } = await import(name);
await init("wasm");
defaultDevice("wasm");
console.log((await numpy.matmul(numpy.ones([64, 64]), numpy.ones([64, 64])).data()).length);
Deno.exit(0);

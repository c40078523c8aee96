/** The product of bench/peers/product.ts in TensorFlow.js, on its wasm backend, W stored [k, n]: it is slower the other way. */
import { servePeer } from "./serve.ts";

const { m, n, k, times = 20 } = JSON.parse(Deno.args[0]!);
// The packages are named at run time, so that checking this project does not fetch them.
const [core, wasm] = ["npm:@tensorflow/tfjs-core@4.22.0", "npm:@tensorflow/tfjs-backend-wasm@4.22.0"];
const tf = await import(core);
await import(wasm);
await tf.setBackend("wasm");
await tf.ready();
const [x, w] = [tf.randomNormal([m, k]), tf.randomNormal([k, n])];
await servePeer({ tfjs: "4.22.0" }, () => {
  tf.tidy(() => void tf.matMul(x, w));
}, times);

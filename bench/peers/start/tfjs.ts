/** From nothing to the first product of TensorFlow.js. */
const [core, wasm] = ["npm:@tensorflow/tfjs-core@4.22.0", "npm:@tensorflow/tfjs-backend-wasm@4.22.0"];
const tf = await import(core);
await import(wasm);
await tf.setBackend("wasm");
await tf.ready();
console.log((await tf.matMul(tf.ones([64, 64]), tf.ones([64, 64])).data()).length);

/** From process start to the first product of this project. */
import { matmul, ones } from "../../../ops/mod.ts";
import { wasm } from "../../../ops/wasm/mod.ts";

const backend = await wasm({ threads: 2 });
const y = matmul(ones([64, 64], backend), ones([64, 64], backend));
console.log((backend.download(y.raw, 4) as Uint8Array).length);
backend.close();

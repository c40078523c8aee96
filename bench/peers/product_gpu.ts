/** y = x W on the GPU backend, `inner` times before one wait: x [m, k], W [k, n]. Arguments: {m, n, k, inner, times}. */
import { key as keyOf, read, scope } from "../../core/mod.ts";
import { gpu } from "../../ops/gpu/mod.ts";
import { matmul, normal } from "../../ops/mod.ts";
import { servePeer, VERSIONS } from "./serve.ts";

const { m, n, k, inner = 10, times = 1 } = JSON.parse(Deno.args[0]!);
const backend = await gpu();
const [x, w] = [normal(keyOf(1), [m, k], backend), normal(keyOf(2), [k, n], backend)];
const last = normal(keyOf(3), [1], backend);
await servePeer({ ...VERSIONS, adapter: backend.adapter }, async () => {
  for (let i = 0; i < inner; i++) scope((): number => matmul(x, w).size);
  await read(last); // all previously recorded work is done
}, times);

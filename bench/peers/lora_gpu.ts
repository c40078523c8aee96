/** A LoRA layer's step on the GPU backend: loss and gradients of A and B of mean((x W + x A B)²). Arguments as product_gpu. */
import { key as keyOf, read, scope, valueAndGrad } from "../../core/mod.ts";
import { gpu } from "../../ops/gpu/mod.ts";
import { add, matmul, mean, normal, square } from "../../ops/mod.ts";
import { servePeer, VERSIONS } from "./serve.ts";

const { m, n, k, inner = 10, times = 1 } = JSON.parse(Deno.args[0]!);
const backend = await gpu();
const [x, w] = [normal(keyOf(1), [m, k], backend), normal(keyOf(2), [k, n], backend)];
const params = { a: normal(keyOf(3), [k, 8], backend), b: normal(keyOf(4), [8, n], backend) };
const step = valueAndGrad(({ a, b }: typeof params) =>
  mean(square(add(matmul(x, w), matmul(matmul(x, a), b))))
);
const last = normal(keyOf(5), [1], backend);
await servePeer({ ...VERSIONS, adapter: backend.adapter }, async () => {
  for (let i = 0; i < inner; i++) scope((): number => step(params).value.size);
  await read(last);
}, times);

/**
 * y = x Wᵀ, x [m, k], W [n, k]. Arguments: {backend, threads, m, n, k, dtype, weights, times}: `weights`
 * different weights in turn, or the same one repeatedly if `same`.
 */
import { scope } from "../../mod.ts";
import { matmul, normal } from "../../ops/mod.ts";
import { castTo, key as keyOf } from "../../core/mod.ts";
import { openBackend } from "./open.ts";
import { servePeer, VERSIONS } from "./serve.ts";

const options = {
  threads: 1,
  dtype: "f32",
  weights: 1,
  same: false,
  times: 20,
  ...JSON.parse(Deno.args[0]!),
};
const { m, n, k } = options;
const backend = await openBackend(options);
const x = normal(keyOf(1), [m, k], backend);
const drawn = Array.from({ length: options.same ? 1 : options.weights }, (_, i) => {
  return scope(() => {
    const matrix = normal(keyOf(i + 2), [n, k], backend);
    return castTo(matrix, options.dtype);
  });
});
const matrices = Array.from({ length: options.weights }, (_, i) => drawn[i % drawn.length]!);

await servePeer(VERSIONS, () => {
  for (const w of matrices) scope((): number => matmul(x, w, { transposeB: true }).size);
}, options.times);

/** pissa(): golden cases and what is refused. */
import assert from "node:assert/strict";
import { leaves, memory, read } from "../../../core/mod.ts";
import { pissa } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { goldenBase } from "../../support/golden_method.ts";
import { GOLDEN_LORA, leavesFunction, preparedLives } from "../../support/prepared_life.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

Deno.test("pissa() by randomized SVD is near the exact one and a function of the key", async () => {
  const model = await goldenBase(reference());
  const exact = await pissa(model, GOLDEN_LORA);
  const near = await pissa(model, { ...GOLDEN_LORA, svd: { iterations: 8 }, key: 3 });
  const again = await pissa(model, { ...GOLDEN_LORA, svd: { iterations: 8 }, key: 3 });
  for (const [i, [path, t]] of leaves(exact.adapter.params).entries()) {
    assertClose(await read(leaves(near.adapter.params)[i]![1]), await read(t), 1e-3, path);
    assert.deepEqual(
      await read(leaves(again.adapter.params)[i]![1]),
      await read(leaves(near.adapter.params)[i]![1]),
    );
  }
  for (const prepared of [exact, near, again]) prepared.dispose();
  model.dispose();
});

preparedLives("pissa", (model) => pissa(model, GOLDEN_LORA), {
  // PEFT's SVD is in f32, where two near singular values mix their vectors by 1e-5.
  init: 2e-5,
});
preparedLives("qpissa", (model) => pissa(model, { ...GOLDEN_LORA, quantize: { dtype: "nf4" } }));
preparedLives(
  "qpissa3",
  (model) => pissa(model, { ...GOLDEN_LORA, quantize: { dtype: "nf4", iterations: 3 } }),
);
leavesFunction("pissa()", pissa);
leavesFunction(
  "pissa() by randomized SVD",
  (model, options) => pissa(model, { ...options, svd: { iterations: 4 } }),
);
Deno.test("pissa() refuses a rank above a layer's smaller size", async () => {
  const model = await goldenBase(reference());
  const before = memory(model.backend).live;
  await assert.rejects(
    pissa(model, { rank: 13, targets: ["v_proj"] }),
    /rank 13 from ".*v_proj" \[12, 24\]: choose at most 12/,
  );
  await assert.rejects(
    pissa(model, { svd: "fast" as "exact" }),
    /^RangeError: Expected pissa's option "svd" to be "exact" or .* but found "fast"$/,
  );
  assert.equal(memory(model.backend).live, before);
  model.dispose();
  const llama = tinyLlama(reference(), 1);
  await assert.rejects(pissa(llama, { rank: 13 }), /rank 13 from ".*q_proj" \[16, 12\]: choose at most 12/);
  llama.dispose();
});

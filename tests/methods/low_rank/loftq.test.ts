/** loftq(): golden cases. */
import assert from "node:assert/strict";
import { graft, memory, type Model, weightLeaves } from "../../../core/mod.ts";
import { loftq } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { goldenBase } from "../../support/golden_method.ts";
import { GOLDEN_LORA, goldenLogits, preparedLives } from "../../support/prepared_life.ts";

Deno.test("loftq() stores codes and comes nearer to the base than the codes alone, and than unscaled factors", async () => {
  const model = await goldenBase(reference());
  const prepared = await loftq(model, { ...GOLDEN_LORA, alpha: 24, iterations: 3, targets: "all-linear" });
  const quantized = weightLeaves(prepared.model.weights).filter(([, t]) => t.dtype === "nf4");
  assert.equal(quantized.length, 14);
  const distance = async (other: Model): Promise<number> => {
    const [a, b] = [await goldenLogits(model), await goldenLogits(other)];
    return Math.hypot(...a.map((x, i) => x - b[i]!));
  };
  const [adapted, alone] = [
    await distance(graft(prepared.model, prepared.adapter)),
    await distance(prepared.model),
  ];
  assert.ok(adapted < 0.9 * alone, `${adapted} against ${alone}`);
  prepared.dispose();
  model.dispose();
});

preparedLives("loftq", (model) => loftq(model, GOLDEN_LORA));
preparedLives("loftq5", (model) => loftq(model, { ...GOLDEN_LORA, iterations: 5 }));
Deno.test("loftq() names what cannot be", async () => {
  const model = await goldenBase(reference());
  const before = memory(model.backend).live;
  await assert.rejects(loftq(model, { iterations: 0 }), /iterations to be a positive integer but found 0/);
  await assert.rejects(loftq(model, { rank: 2, dtype: "f16" }), /quantized dtype .* found f16/);
  await assert.rejects(
    loftq(model, { rank: 2, targets: ["lm_head"] }),
    /"lm_head" under an adapter: .*embed_tokens/,
  );
  assert.equal(memory(model.backend).live, before);
  model.dispose();
});

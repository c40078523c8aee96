/** Decoders that score whole texts. Their numbers stand beside transformers' in tests/train/objectives/trl.test.ts. */
import assert from "node:assert/strict";
import { forward, freshModel, read, reference, smallConfig } from "../../mod.ts";
import { architectureOf, headModules, taskConfig, taskType } from "../../models/mod.ts";
import { assertClose } from "../support/assert.ts";

for (const family of ["llama", "gemma"] as const) {
  const config = taskConfig(
    family === "llama"
      ? smallConfig("llama")
      : { ...smallConfig("llama"), model_type: "gemma", num_key_value_heads: 1, head_dim: 8 },
    { kind: "classify", names: ["bad", "fair", "good"] },
  );

  Deno.test(`a ${family} scores a text by the state of its last token, padding on either side`, async () => {
    const model = freshModel(config, { backend: reference(), key: 4 });
    assert.deepEqual([headModules(model), taskType(model), model.architecture.labels(model)], [
      ["score"],
      "SEQ_CLS",
      "class",
    ]);
    const scores = async (inputIds: number[][], attentionMask: number[][]) =>
      await read(forward(model, { inputIds, attentionMask }).logits);
    const alone = await scores([[5, 6, 7]], [[1, 1, 1]]);
    assert.equal(alone.length, 3);
    const padded = await scores([[5, 6, 7, 0, 0], [1, 2, 3, 4, 5]], [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]);
    assertClose(padded.slice(0, 3), alone, 1e-5);
    const left = await scores([[0, 0, 5, 6, 7]], [[0, 0, 1, 1, 1]]);
    assertClose(left, alone, 1e-5);
    await assert.rejects(() => scores([[0, 0]], [[0, 0]]), /row 0: it is all padding/);
  });

  Deno.test(`the scores of tokens are no part of a ${family} that scores texts`, () => {
    const { weightPath, spec } = architectureOf(config);
    assert.equal(weightPath("lm_head.weight"), undefined);
    assert.equal(weightPath("score.weight"), "score.weight");
    assert.deepEqual(spec.heads.map(({ path, outFeatures }) => [path, outFeatures]), [["score", 3]]);
    const { architectures: _, ...plain } = config;
    assert.equal(architectureOf(plain as typeof config).weightPath("lm_head.weight"), "lm_head.weight");
  });
}

Deno.test("a decoder has no head for tags or masked words", () => {
  assert.throws(
    () => taskConfig(smallConfig("llama"), { kind: "mask" }),
    /Cannot load a llama with the task "mask"/,
  );
  assert.throws(
    () => taskConfig(smallConfig("gpt2"), { kind: "score" }),
    /Cannot load a gpt2 with the task "score"/,
  );
});

/** spot(): the laws of methods and golden cases. */
import assert from "node:assert/strict";
import { dispose, type Method, read, type Tensor } from "../../../core/mod.ts";
import { lora, promptTuning, rankSources, sourceWeights, spot } from "../../../methods/mod.ts";
import { spotDefinition } from "../../../methods/soft_prompts/spot.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { bestSource } from "../../../recipes/soft_prompts.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { goldenNumbers } from "../../support/golden.ts";
import { goldenBase, goldenParams } from "../../support/golden_method.ts";
import { added, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { preparing } from "../../support/preparing.ts";
import { earlierPrompts, promptOf } from "../../support/prompts.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

methodLaws("spot() of two sources", {
  method: (model) => {
    const { prompts, dispose } = earlierPrompts(model);
    return { method: spot({ sources: prompts, weights: { one: 0.25, two: 0.75 } }) as Method, dispose };
  },
  atInit: "other",
  merges: "no",
  counts: () => added(3 * WIDTH),
});

Deno.test("spot() and rankSources() equal the paper's similarities and weighted mean", () =>
  assertNoLeak(async () => {
    const model = await goldenBase(reference());
    const expected = goldenNumbers("soft_prompts/spot.safetensors");
    const held = goldenParams("spot", model.backend, "");
    const at = held.tree as { readonly target: Tensor; readonly source: Readonly<Record<string, Tensor>> };
    const sources = Object.fromEntries(Object.entries(at.source).map(([name, t]) => [name, promptOf(t)]));
    for (const kind of ["means", "pairs"] as const) {
      const ranked = await rankSources(promptOf(at.target), sources, kind);
      assert.deepEqual(ranked.map(({ name }) => name), ["b", "a", "c"]);
      for (const { name, similarity } of ranked) {
        assertClose([similarity], expected.get(`${kind}.${name}`)!, 1e-5, `${kind} of ${name}`);
      }
    }
    const ranked = await rankSources(promptOf(at.target), sources);
    const mixed = spot({ sources, weights: sourceWeights(ranked, 2) }).init({ model, key: 0 });
    assertClose(await read(mixed.rows), expected.get("mixed")!, 1e-5, "mixed");
    const whole = spot({ sources: { b: sources["b"]! } }).init({ model, key: 0 });
    assert.deepEqual(await read(whole.rows), expected.get("source.b"));
    assert.notEqual(whole.rows.storage, at.source["b"]!.storage); // training must leave the source as it is
    assert.deepEqual(Object.keys(sourceWeights(ranked, 3)), ["b", "a"]); // "c" is unlike the target
    const scores: Readonly<Record<string, number>> = { b: 1, a: 3, c: 9 };
    const { best, tried } = await bestSource(ranked, 2, (name) => Promise.resolve(scores[name]!));
    assert.deepEqual([best.name, tried.length], ["a", 2]);
    assert.throws(() => spot({ sources }), /weights for 3 source prompts/);
    assert.throws(() => sourceWeights([{ name: "c", similarity: -1 }], 1), /none has a similarity above 0/);
    assert.throws(() => spot({ sources: { b: sources["b"]! }, where: { token: 3 } }), /stands at "front"/);
    assert.throws(
      () => spot({ sources: { l: { method: lora() as Method, params: {} } } }),
      /finalize it first/,
    );
    dispose([mixed, whole]);
    held.dispose();
    model.dispose();
  }));

Deno.test("spot() is prepared from one source, from weights, or from the nearest to an early prompt", async () => {
  const model = tinyLlama(reference(), 1);
  const prompt = promptTuning({ length: 2 }) as unknown as Method;
  const folders = { a: prompt, b: prompt };
  const first = async (options: Readonly<Record<string, unknown>>): Promise<number> => {
    const { adapter: { params } } = await spotDefinition.prepare!(preparing(model, options, folders));
    const [number] = await read(params["rows"] as Tensor);
    dispose(params);
    return number!;
  };
  await assertNoLeak(async () => {
    const [a, b] = [await first({ sources: { a: "a" } }), await first({ sources: { b: "b" } })];
    const both = { a: "a", b: "b" };
    assertClose([await first({ sources: both, weights: { a: 0.25, b: 0.75 } })], [a / 4 + 3 * b / 4], 1e-6);
    assertClose([await first({ sources: both, task: "b" })], [b], 1e-6);
    await assert.rejects(first({ sources: both }), /Expected weights for 2 source prompts/);
    await assert.rejects(first({ sources: { a: "a", c: "c" } }), /no folder c/);
    await assert.rejects(first({}), /spot's option "sources" to be at least one trained adapter/);
  });
  model.dispose();
});

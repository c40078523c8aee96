/** spot(): the laws of methods and golden cases. */
import assert from "node:assert/strict";
import { dispose, type Method, read, type Tensor } from "../../../core/mod.ts";
import { lora, rankSources, sourceWeights, spot } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { bestSource } from "../../../recipes/soft_prompts.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { goldenNumbers } from "../../support/golden.ts";
import { goldenBase, goldenParams } from "../../support/golden_method.ts";
import { added, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { earlierPrompts, promptOf } from "../../support/prompts.ts";

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
    const whole = spot({ sources: { b: sources.b! } }).init({ model, key: 0 });
    assert.deepEqual(await read(whole.rows), expected.get("source.b"));
    assert.notEqual(whole.rows.storage, at.source.b!.storage); // training must leave the source as it is
    assert.deepEqual(Object.keys(sourceWeights(ranked, 3)), ["b", "a"]); // "c" is unlike the target
    const scores: Readonly<Record<string, number>> = { b: 1, a: 3, c: 9 };
    const { best, tried } = await bestSource(ranked, 2, (name) => Promise.resolve(scores[name]!));
    assert.deepEqual([best.name, tried.length], ["a", 2]);
    assert.throws(() => spot({ sources }), /weights for 3 source prompts/);
    assert.throws(() => sourceWeights([{ name: "c", similarity: -1 }], 1), /none has a similarity above 0/);
    assert.throws(() => spot({ sources: { b: sources.b! }, where: { token: 3 } }), /stands at "front"/);
    assert.throws(
      () => spot({ sources: { l: { method: lora() as Method, params: {} } } }),
      /finalize it first/,
    );
    dispose([mixed, whole]);
    held.dispose();
    model.dispose();
  }));

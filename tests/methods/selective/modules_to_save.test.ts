/** Whole modules obey the laws of methods, have their count, and refuse names that match nothing. */
import assert from "node:assert/strict";
import { compose } from "../../../core/mod.ts";
import { modulesToSave, type ModulesToSaveOptions } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { badOptions } from "../../support/bad_options.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { publishedCount, trainableOf } from "../../support/published_counts.ts";
import { robertaOf } from "../../support/published_shapes.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

methodLaws("modulesToSave() with a tied head of its own", {
  method: () => ({ method: modulesToSave({ modules: ["lm_head", "ln_f"] }) }),
  atInit: "base",
  merges: "only",
  models: [(backend, key) => tinyGpt2(backend, key)],
  counts: () => ({ trainable: 11 * 12 + 2 * 12 }), // the head, and weight and bias of the norm
});

badOptions("modulesToSave()", [
  [
    () => modulesToSave({} as ModulesToSaveOptions),
    'modules-to-save needs its option "modules": names of modules: lm_head, norm, layers.1.mlp',
  ],
  [() => modulesToSave({ modules: [] }), "Expected modules to name at least one but found none"],
]);

Deno.test("modulesToSave() refuses a name that matches nothing", () => {
  const model = tinyLlama(reference(), 0);
  const method = compose({ saved: modulesToSave({ modules: ["classifier"] }) });
  assert.throws(() => method.init({ model, key: 0 }), /"classifier" matches no module/);
  model.dispose();
});

publishedCount("modulesToSave() has the 1,051,650 numbers of RoBERTa-large's classifier", () =>
  assert.equal(
    trainableOf(
      robertaOf(1024, 24, "RobertaForSequenceClassification"),
      modulesToSave({ modules: ["classifier"] }),
    ),
    1_051_650,
  ));

/** What the page offers comes from definitions: every method that trains, every option, every setting of training. */
import assert from "node:assert/strict";
import { DEFINITIONS } from "../../../methods/index.ts";
import { isTrainable } from "../../../tuning/chosen_method.ts";
import { any, count, oneOf } from "../../../core/options/mod.ts";
import { checkpointShapes } from "../../../io/model_shapes.ts";
import { choicesIn, costOf, families, trainingSettings } from "../../../studio/worker/methods.ts";

Deno.test("every method that trains is offered, in its family, with all its options", () => {
  const offered = families().flatMap(({ methods }) => methods);
  assert.deepEqual(
    offered.map(({ name }) => name).sort(),
    DEFINITIONS.filter(isTrainable).map(({ name }) => name).sort(),
  );
  for (const { name, options, summary } of offered) {
    assert.ok(summary.length > 0 && summary.length <= 90, name);
    const { options: known } = DEFINITIONS.find((definition) => definition.name === name)!;
    for (const option of Object.keys(known).filter((option) => !known[option]!.program)) {
      assert.ok(options.some((offered) => offered.name === option), `${name} ${option}`);
    }
  }
  assert.equal(offered.filter(({ standard }) => standard).length, 1);
});

Deno.test("a closed set is told from its description", () => {
  assert.deepEqual(choicesIn(oneOf("zeros", "normal").what), ["zeros", "normal"]);
  assert.deepEqual(choicesIn(oneOf("a", "b", "c").what), ["a", "b", "c"]);
  assert.equal(choicesIn(any(count, oneOf("full")).what), undefined);
  assert.equal(choicesIn(count.what), undefined);
});

Deno.test("settings of training are the command line's, those of most people first", () => {
  const settings = trainingSettings();
  assert.deepEqual(settings.slice(0, 3).map(({ name }) => name), ["learning-rate", "epochs", "max-steps"]);
  assert.deepEqual(settings.find(({ name }) => name === "schedule")?.choices?.slice(0, 2), [
    "cosine",
    "linear",
  ]);
  assert.ok(settings.find(({ name }) => name === "packing")?.isFlag);
  assert.ok(!settings.some(({ name }) => ["model", "rank", "distributed"].includes(name)));
});

Deno.test("costs are computed on the model: LoRA's are its formula, and what does not fit says why", () => {
  const model = checkpointShapes("embedded/model");
  const definition = (name: string) => DEFINITIONS.find((one) => one.name === name)!;
  const linears = model.spec.linears.filter(({ layer }) => layer !== undefined);
  const expected = linears.reduce(
    (sum, { inFeatures, outFeatures }) => sum + 8 * (inFeatures + outFeatures),
    0,
  );
  assert.deepEqual(costOf(model, definition("lora")), {
    method: "lora",
    trainable: expected,
    bytes: 4 * expected,
  });
  for (const one of DEFINITIONS.filter(isTrainable)) {
    const { trainable, refused } = costOf(model, one);
    assert.ok(trainable !== undefined ? trainable >= 0 : refused!.length > 10, one.name);
  }
  model.dispose();
});

/** loraGa(): golden lives (tests/oracles/lora_ga.py), the function it leaves, and what is refused. */
import assert from "node:assert/strict";
import { type Batch, memory } from "../../../core/mod.ts";
import { loraGa, type LoraGaOptions } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { GOLDEN } from "../../support/golden.ts";
import { goldenBase, goldenBatch } from "../../support/golden_method.ts";
import { GOLDEN_LORA, leavesFunction, preparedLives } from "../../support/prepared_life.ts";

const batches: readonly Batch[] = JSON.parse(Deno.readTextFileSync(`${GOLDEN}lora_ga/batches.json`));

// Gradients in f32 mix the vectors of near singular values by up to 1e-4.
const life = { init: 1e-4 };
const of = (options: LoraGaOptions) => ({ ...GOLDEN_LORA, rank: 2, alpha: 3, ...options });
preparedLives("lora_ga", (model) => loraGa(model, batches, of({})), life);
preparedLives(
  "lora_ga_unit",
  (model) => loraGa(model, batches, of({ direction: "A2rBr", scale: "unit" })),
  life,
);
preparedLives("lora_ga_alternating", (model) => loraGa(model, batches, of({ direction: "ArBr" })), life);
leavesFunction("loraGa()", (model, options) => loraGa(model, [goldenBatch()], options));

Deno.test("loraGa() refuses a rank above half a layer's smaller size, and data without a batch or a label", async () => {
  const model = await goldenBase(reference());
  const before = memory(model.backend).live;
  const refused: readonly (readonly [readonly Batch[], LoraGaOptions, RegExp])[] = [
    [
      batches,
      { rank: 7, targets: ["v_proj"] },
      /twice 7 triples .*v_proj" \[12, 24\]: choose a rank of at most 6/,
    ],
    [[], { rank: 2 }, /there are no batches/],
    [
      batches,
      { direction: "BrAr" as "ArBr" },
      /^RangeError: Expected lora-ga's option "direction" to be "ArB2r", .*"BrAr"$/,
    ],
    [batches, { gama: 1 } as LoraGaOptions, /lora-ga has no option "gama": did you mean "gamma"/],
    [[{ inputIds: [[1, 2]] }], { rank: 2 }, /no token of the batch has a label/],
    [batches, { targets: ["nowhere"] }, /"nowhere" matches no layer/],
  ];
  for (const [data, options, message] of refused) await assert.rejects(loraGa(model, data, options), message);
  assert.equal(memory(model.backend).live, before);
  model.dispose();
});

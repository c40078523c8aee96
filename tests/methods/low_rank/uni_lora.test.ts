/** uniLora(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, a base in four bits and what is refused. */
import { uniLora } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";

laws(
  "uniLora()",
  uniLora({ ...ALL, rank: 2, dimension: 11, bound: 0.5, dropout: 0.2 }),
  () => ({ trainable: 11, stored: 11 }),
  { atInit: "other" },
);
laws(
  "uniLora() of equal numbers",
  uniLora({ rank: 1, dimension: 29, assignment: "balanced", initialization: "normal", projectionSeed: 0 }),
  () => ({ trainable: 29, stored: 29 }),
  { atInit: "other" },
);

goldenMethods({
  uni_lora: uniLora({ rank: 2, dimension: 13, assignment: "balanced", projectionSeed: 7, targets: TARGETS }),
  uni_lora_uniform: uniLora({ rank: 3, dimension: 10, projectionSeed: 5, targets: TARGETS }),
});

misfits("uniLora()", [
  [
    () => uniLora({ dimension: 0 }),
    /^Expected uni-lora.s option "dimension" to be a positive integer.* but found 0$/,
  ],
  [
    () => uniLora({ projectionSeed: -1 }),
    /option "projectionSeed" to be a non-negative integer but found -1$/,
  ],
]);
onCodes({ "uniLora()": uniLora({ dimension: 9, bound: 0.5 }) });

/** vbLora(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, a base in four bits and what is refused. */
import type { Model, TargetOptions } from "../../../core/mod.ts";
import { vbLora } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";

/** h c for the bank, r h for each piece of c. */
const bankCount = (r: number, h: number, c: number, options: TargetOptions) => (model: Model) => {
  const { trainable } = each(options, (i, o) => r * h * (i + o) / c)(model);
  return { trainable: trainable! + h * c };
};
laws(
  "vbLora()",
  vbLora({ ...ALL, rank: 2, vectors: 5, length: 2, dropout: 0.2 }),
  bankCount(2, 5, 2, ALL),
  // A step of a logit may change which are the largest.
  { atInit: "other", unlikeDifferences: (path) => path.includes(".logits") },
);
laws(
  "vbLora() of all vectors",
  vbLora({ rank: 3, vectors: 3, length: 4, topK: 3, bankBound: 0.5 }),
  bankCount(3, 3, 4, {}),
  { atInit: "other" },
);

goldenMethods({
  vb_lora: vbLora({ rank: 2, vectors: 3, length: 4, topK: 3, targets: TARGETS }),
});

misfits("vbLora()", [
  [() => vbLora({ vectors: 2, topK: 3 }), /topK to be at most the 2 vectors of the bank/],
  [() => vbLora({ length: 5 }), /q_proj" \[16, 12\] of vectors of 5: that divides not both sizes/],
  [
    () => vbLora({ rank: 1.5 }),
    /^Expected vb-lora.s option "rank" to be a positive integer.* but found 1.5$/,
  ],
]);
onCodes({ "vbLora()": vbLora({ vectors: 5, length: 4, bankBound: 0.5 }) });

/** randlora(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, a base in four bits and what is refused. */
import { chooseTargets, type Counts, type Model, sizesOf, type TargetOptions } from "../../../core/mod.ts";
import { randlora } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";

/** n (r + min) in each layer; shared are r min + max n r of the largest sizes. */
const randLoraCount = (r: number, options: TargetOptions) => (model: Model): Partial<Counts> => {
  const terms = (min: number): number => Math.ceil(min / r);
  const { trainable } = each(options, (i, o) => terms(Math.min(i, o)) * (r + Math.min(i, o)))(model);
  const sizes = chooseTargets(model.spec, options).map(sizesOf);
  const largest = [Math.max(...sizes.map((s) => s.inFeatures)), Math.max(...sizes.map((s) => s.outFeatures))];
  const [min, max] = [Math.min(...largest), Math.max(...largest)];
  return { trainable: trainable!, stored: trainable! + r * min + max * terms(min) * r };
};
laws("randlora()", randlora({ ...ALL, rank: 5, alpha: 3, dropout: 0.2 }), randLoraCount(5, ALL));
laws(
  "randlora() of sparse bases, regenerated",
  randlora({ rank: 3, bases: "sparse", projections: "regenerated", projectionSeed: 2 }),
  () => ({}),
);
laws(
  "randlora() of very sparse bases, a start that is none",
  randlora({ rank: 4, bases: "verySparse", initialization: "normal" }),
  randLoraCount(4, {}),
  { atInit: "other" },
);

goldenMethods({
  randlora: randlora({ rank: 5, alpha: 3, projectionSeed: 99, targets: TARGETS }),
  "randlora regenerated": randlora({
    rank: 5,
    alpha: 3,
    projectionSeed: 3,
    projections: "regenerated",
    targets: TARGETS,
  }),
  randlora_sparse: randlora({ rank: 11, alpha: 2, bases: "sparse", targets: TARGETS }),
  "randlora_sparse regenerated": randlora({
    rank: 11,
    alpha: 2,
    bases: "sparse",
    projections: "regenerated",
    targets: TARGETS,
  }),
});

misfits("randlora()", [
  [() => randlora({ rank: 0 }), /^Expected randlora.s option "rank" to be a positive integer.* but found 0$/],
  [
    () => randlora({ dropout: 1 }),
    /^Expected randlora.s option "dropout" to be a number from 0 up to 1 but found 1$/,
  ],
  [() => randlora({ alpha: NaN }), /option "alpha" to be a number but found NaN$/],
]);
onCodes({ "randlora()": randlora({ rank: 3 }) });

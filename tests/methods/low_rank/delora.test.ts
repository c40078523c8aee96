/** delora(): the laws of methods, golden cases of PEFT (tests/oracles/peft_updates.py) and what is refused. */
import type { Counts, Model, TargetOptions } from "../../../core/mod.ts";
import { delora } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods, goldenStarts } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, ENDS, laws } from "../../support/linear_laws.ts";

/** The norms, and a copy of what trains. */
const stored = (options: TargetOptions, r: number, copies: number) => (model: Model): Partial<Counts> => {
  const { trainable } = each(options, (i, o) => r * (i + o) + 1)(model);
  return { trainable, stored: copies * trainable + each(options, (i) => i)(model).trainable };
};
laws("delora()", delora({ ...ALL, rank: 3, dropout: 0.2 }), stored(ALL, 3, 1));
laws("delora() with a copy of its start", delora({ rank: 2, initialization: "copy" }), stored({}, 2, 2));
laws("delora() on the embedding and the head", delora({ ...ENDS, rank: 2 }), stored(ENDS, 2, 1));

const CASES = {
  delora: delora({ rank: 3, lambda: 5, targets: TARGETS }),
  delora_patterns: delora({
    rank: 4,
    rankPattern: { down_proj: 5 },
    lambdaPattern: { "layers.1.self_attn.v_proj": 2 },
    targets: TARGETS,
  }),
};
goldenMethods(CASES);
goldenStarts(CASES);

misfits("delora()", [
  [() => delora({ rank: 0 }), /^Expected delora.s option "rank" to be a positive integer.* but found 0$/],
  [() => delora({ lambda: Infinity }), /option "lambda" to be a number but found Infinity$/],
  [
    () => delora({ lambdaPattern: { q_proj: NaN } }),
    /option "lambdaPattern" to be an object, each value a number but found {"q_proj":null}$/,
  ],
  [() => delora({ lambdaPattern: { nope: 2 } }), /lambdaPattern "nope" matches none/],
]);

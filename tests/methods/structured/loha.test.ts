/**
 * loha(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, counts that papers print, a base in four bits
 * and what is refused.
 */
import assert from "node:assert/strict";
import { loha } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, ENDS, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";
import { publishedCount, ROBERTA_BASE_LAYERS, trainableIn } from "../../support/published_counts.ts";

laws("loha()", loha({ rank: 3, alpha: 5 }), each({}, (i, o) => 2 * 3 * (i + o)));
laws(
  "loha() of rank 1 as LyCORIS starts it",
  loha({ ...ALL, rank: 1, initialization: "lycoris" }),
  each(ALL, (i, o) => 2 * (i + o)),
);
laws("loha() on the embedding and the head", loha({ ...ENDS, rank: 2 }), each(ENDS, (i, o) => 4 * (i + o)));
laws(
  "loha() with dropout of rows and layers",
  loha({ ...ALL, rank: 2, rowDropout: 0.3, moduleDropout: 0.3 }),
  each(ALL, (i, o) => 4 * (i + o)),
  { merges: "only" },
);

goldenMethods({
  loha: loha({ rank: 3, alpha: 5, targets: TARGETS }),
  loha_patterns: loha({
    rank: 2,
    rankPattern: { down_proj: 4 },
    alphaPattern: { "layers.1.self_attn.v_proj": 7 },
    targets: TARGETS,
  }),
  loha_lycoris: loha({ rank: 3, alpha: 1, targets: TARGETS }),
});

misfits("loha()", [
  [() => loha({ rank: 0 }), /option "rank" to be a positive integer of at most 65536 but found 0/],
  [() => loha({ rowDropout: 1 }), /option "rowDropout" to be a number from 0 up to 1 but found 1/],
]);
onCodes({ "loha()": loha({ rank: 2 }) });
publishedCount(
  "loha() has twice LoRA's parameters",
  () => assert.equal(trainableIn(ROBERTA_BASE_LAYERS, loha({ rank: 8 })), 2 * 24 * 8 * (768 + 768)),
);

/**
 * lokr(), factorPair(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, counts that papers print, a base
 * in four bits and what is refused.
 */
import assert from "node:assert/strict";
import { factorPair, lokr } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { GOLDEN } from "../../support/golden.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, ENDS, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";
import { ONE_LAYER, publishedCount, trainableIn } from "../../support/published_counts.ts";

/** o1 i1 and either o2 i2 or r (o2 + i2). */
const lokrCount = (r: number) => (i: number, o: number): number => {
  const [[o1, o2], [i1, i2]] = [factorPair(o, -1), factorPair(i, -1)];
  return o1 * i1 + (r < Math.max(o2, i2) / 2 ? r * (o2 + i2) : o2 * i2);
};
laws("lokr()", lokr({ ...ALL, rank: 2 }), each(ALL, lokrCount(2)));
laws(
  "lokr() whole, as LyCORIS",
  lokr({ rank: 1, alpha: 4, split: "none", scaling: "unitWhenFull", initialization: "lycoris" }),
  each({}, lokrCount(99)),
);
laws("lokr() on the embedding and the head", lokr({ ...ENDS, rank: 1 }), each(ENDS, lokrCount(1)));
laws(
  "lokr() with dropout of rows",
  lokr({ rank: 1, split: "both", factor: 2, rowDropout: 0.5 }),
  () => ({}),
  { merges: "only" },
);

goldenMethods({
  lokr: lokr({ rank: 2, alpha: 3, targets: TARGETS }),
  lokr_full: lokr({ rank: 8, alpha: 4, targets: TARGETS }),
  lokr_edge: lokr({ rank: 3, alpha: 3, targets: TARGETS }),
  lokr_both: lokr({ rank: 1, alpha: 3, factor: 5, split: "both", targets: TARGETS }),
  lokr_lycoris: lokr({
    rank: 2,
    alpha: 1,
    factor: 4,
    order: "smallerFirst",
    scaling: "unitWhenFull",
    targets: TARGETS,
  }),
  lokr_lycoris_full: lokr({ rank: 8, alpha: 3, scaling: "unitWhenFull", targets: TARGETS }),
});

Deno.test("factorPair() gives PEFT's and LyCORIS's pairs", () => {
  const pairs: readonly (readonly number[])[] = JSON.parse(
    Deno.readTextFileSync(`${GOLDEN}reparam/factor_pairs.json`),
  );
  for (const [n, factor, ...expected] of pairs) {
    const found = [...factorPair(n!, factor!), ...factorPair(n!, factor!, "smallerFirst")];
    assert.deepEqual(found, expected, `${n} by ${factor}`);
  }
});

misfits("lokr()", [
  [
    () => lokr({ factor: 0 }),
    /option "factor" to be -1 or a positive integer of at most 1048576 but found 0/,
  ],
  [() => lokr({ targets: ["nothing"] }), /"nothing" matches no layer/],
]);
onCodes({ "lokr() with dropout": lokr({ rank: 2, rowDropout: 0.1 }) });
publishedCount(
  "lokr() has 1,088 parameters on 768 x 768 at rank 8",
  () => assert.equal(trainableIn(ONE_LAYER, lokr({ rank: 8 })), 1_088),
);
publishedCount("lokr() splits a factor below half of its larger side only", () => {
  assert.equal(trainableIn(ONE_LAYER, lokr({ rank: 15 })), 24 * 24 + 15 * (32 + 32));
  assert.equal(trainableIn(ONE_LAYER, lokr({ rank: 16 })), 24 * 24 + 32 * 32);
});

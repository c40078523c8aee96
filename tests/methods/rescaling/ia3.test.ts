/** ia3(): the laws of methods and counts that papers print. */
import assert from "node:assert/strict";
import { ia3 } from "../../../methods/mod.ts";
import { just, sum } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { countsOf, printedShares, publishedCount } from "../../support/published_counts.ts";
import { T0_3B } from "../../support/published_shapes.ts";

methodLaws("ia3()", {
  method: just(ia3()),
  atInit: "base",
  merges: "and unmerges",
  counts: ({ spec }) => {
    const of = (role: string) => spec.linears.filter((place) => place.role === role);
    const out = sum([...of("key"), ...of("value"), ...of("qkv")].map((place) => place.outFeatures));
    const n = out + sum(of("down").map((place) => place.inFeatures));
    return { added: n, trainable: n };
  },
});

publishedCount("ia3() has 540,672 numbers on T0-3B", () => {
  const { base, trainable } = countsOf(T0_3B, ia3()).trained;
  assert.deepEqual([base, trainable], [2_849_757_184, 540_672]);
});
printedShares("ia3()", [["(IA)3, T0-3B", 540_672, "T0-3B", "0.019"]]);

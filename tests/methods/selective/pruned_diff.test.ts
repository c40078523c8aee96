/** Pruned differences obey the laws of methods, and keep as many elements as the paper counts. */
import assert from "node:assert/strict";
import { weightLeaves } from "../../../core/mod.ts";
import { diffPruningFixed, keptCount } from "../../../methods/mod.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { everySeventh } from "../../support/sparse_masks.ts";

methodLaws("diffPruningFixed()", {
  method: (model) => ({ method: diffPruningFixed({ mask: everySeventh(model) }) }),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const { leaves, whole } = everySeventh(model);
    const masked = leaves.reduce((n, { indices }) => n + indices.length, 0);
    const n = weightLeaves(model.weights).find(([path]) => path === whole[0])![1].size;
    return { added: 0, trainable: masked + n, changed: masked + n, stored: 2 * masked + n };
  },
});

Deno.test("keptCount() of BERT-large's gated numbers at 0.5 % is the 1.67 M of 333.6 M", () => {
  assert.equal(keptCount(333_579_264, 0.005), 1_667_896);
});

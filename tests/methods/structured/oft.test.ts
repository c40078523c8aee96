/**
 * oft(): the laws of methods, golden cases of PEFT, LyCORIS or transcriptions, counts that papers print, a base in four bits
 * and what is refused.
 */
import assert from "node:assert/strict";
import { dispose, read, scope, type Synchronous, type Tensor, tensor, type Tree } from "../../../core/mod.ts";
import { oft } from "../../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";
import { ONE_LAYER, publishedCount, trainableIn } from "../../support/published_counts.ts";

laws("oft()", oft({ blocks: { size: 2 }, ...ALL }), each(ALL, (i) => i / 2), { merges: "only" });
laws(
  "oft() exact",
  oft({ blocks: { count: 3 }, cayley: "exact" }),
  each({}, (i) => 3 * (i / 3) * (i / 3 - 1) / 2),
);
laws(
  "oft() shared and constrained",
  oft({ blocks: { size: 4 }, sharing: "shared", constraint: 0.1 }),
  each({}, () => 6),
  { merges: "only" },
);

goldenMethods({
  oft: oft({ blocks: { size: 4 }, targets: TARGETS }),
  oft_terms: oft({ blocks: { size: 4 }, cayley: { terms: 7 }, targets: TARGETS }),
  oft_three_terms: oft({ blocks: { size: 4 }, cayley: { terms: 3 }, targets: TARGETS }),
  oft_two_terms: oft({ blocks: { size: 4 }, cayley: { terms: 2 }, targets: TARGETS }),
  oft_exact: oft({ blocks: { count: 4 }, cayley: "exact", sharing: "shared", targets: TARGETS }),
  oft_constrained: oft({ blocks: { size: 4 }, constraint: 0.3, targets: TARGETS }),
  oft_nearest: oft({ blocks: { size: 5 }, uneven: "nearest", targets: TARGETS }),
});

Deno.test("oft() with a constraint pulls back what is too far and leaves the rest", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const q = tensor([[3, 0, 4], [0.01, 0, 0]], { backend });
      const { project } = oft({ blocks: { size: 3 }, constraint: 1 });
      const params = scope((): Synchronous<Tree> => project!({ q }) as Synchronous<Tree>);
      // ‖Q‖ = √2 · 5 may be 1 / √2.
      assertClose(
        await read(params["q"] as Tensor),
        [0.3, 0, 0.4, 0.01, 0, 0],
        1e-6,
      );
      dispose([params, q]);
    })));

misfits("oft()", [
  [() => oft(), /input of 12 is no multiple of the block size 32/],
  [() => oft({ blocks: { size: 5 } }), /its input of 12 is no multiple of the block size 5/],
  [() => oft({ constraint: 0 }), /option "constraint" to be a number above 0 but found 0/],
  [
    () => oft({ blocks: { count: 0 } }),
    /option "blocks" to be .* or \{"count": a positive integer of at most 1048576\} but found \{"count":0\}/,
  ],
]);
onCodes({ "oft()": oft({ blocks: { size: 4 } }) });
publishedCount("oft() has the numbers of its formula", () => {
  assert.equal(trainableIn(ONE_LAYER, oft()), 768 / 32 * (32 * 31 / 2));
  assert.equal(trainableIn(ONE_LAYER, oft({ sharing: "shared" })), 32 * 31 / 2);
});

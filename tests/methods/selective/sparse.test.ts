/** Masks that do not fit are refused alike by all methods that take one. */
import assert from "node:assert/strict";
import { adapt } from "../../../core/mod.ts";
import { diffPruningFixed, fishMask, ltSft, type SparseMask } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

Deno.test("masks that do not fit are refused by method, leaf and shape", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    const path = "model.layers.0.mlp.up_proj.weight"; // [10, 12]
    const leaf = (...indices: number[]) => ({ path, shape: [10, 12], indices: Int32Array.from(indices) });
    for (const factory of [fishMask, ltSft, diffPruningFixed]) {
      const refused: readonly (readonly [SparseMask, RegExp])[] = [
        [
          { leaves: [leaf(5, 1)], whole: [] },
          /of the mask of [\w-]+ for ".*up_proj\.weight" \[10, 12\] to rise below 120 but found 1 after 5/,
        ],
        [{ leaves: [leaf(5, 5)], whole: [] }, /to rise below 120 but found 5 after 5/],
        [{ leaves: [leaf(1, 500, 2)], whole: [] }, /to rise below 120 but found 500 after 1/],
        [{ leaves: [leaf(-1)], whole: [] }, /to rise below 120 but found -1/],
        [
          { leaves: [leaf(1), leaf(2)], whole: [] },
          /each leaf once in the mask of [\w-]+ but ".*up_proj\.weight" is there twice/,
        ],
        [
          { leaves: [leaf(1)], whole: ["classifier.weight"] },
          /mask of [\w-]+ on this model: it has no weight "classifier\.weight"/,
        ],
        [
          { leaves: [{ ...leaf(1), shape: [12, 10] }], whole: [] },
          /up_proj\.weight: expected \[12, 10\] but found \[10, 12\]/,
        ],
      ];
      for (const [mask, message] of refused) {
        assert.throws(
          () => adapt(model, factory({ mask })),
          (error) => error instanceof RangeError && message.test(error.message),
        );
      }
    }
    model.dispose();
  }));

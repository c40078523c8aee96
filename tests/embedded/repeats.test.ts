/** Repeats: every target has stood in the row before, after the same token. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { repeats } from "../../embedded/repeats.ts";
import { key } from "../../tensor/key.ts";

Deno.test("each target of repeats() follows the token that it followed before", () => {
  fc.assert(fc.property(fc.nat(), fc.integer({ min: 40, max: 400 }), (seed, length) => {
    const range = { from: 4, to: 2000 };
    const { inputIds, labels } = repeats(key(seed), range, length);
    assert.ok(inputIds.length === labels.length && inputIds.length <= length);
    assert.ok(inputIds.every((id) => id >= range.from && id < range.to));
    labels.forEach((label, i) => {
      if (label === -100 || i === 0) return;
      assert.equal(label, inputIds[i]);
      const before = inputIds.slice(0, i - 1).some((id, j) =>
        id === inputIds[i - 1] && inputIds[j + 1] === label
      );
      assert.ok(before, `${i} of ${inputIds}`);
    });
    assert.ok(labels.some((label) => label !== -100));
  }));
});

/** SHA-256 beside Node's own, fed in chunks of any size. */
import assert from "node:assert/strict";
import { createHash as real } from "node:crypto";
import fc from "fast-check";
import { createHash } from "../../../studio/node/crypto.ts";

Deno.test("a hash is Node's, in any pieces", () => {
  fc.assert(fc.property(fc.array(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.string())), (pieces) => {
    const [own, theirs] = [createHash("sha256"), real("sha256")];
    for (const piece of pieces) {
      own.update(piece);
      theirs.update(piece);
    }
    const hex = theirs.digest("hex");
    assert.equal(own.digest("hex"), hex);
    const again = createHash("sha256");
    for (const piece of pieces) again.update(piece);
    assert.equal(again.digest().toHex(), hex);
  }));
  assert.throws(() => createHash("md5"), /Expected sha256/);
});

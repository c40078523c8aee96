/** Paths as `node:path` has them on POSIX, whose working folder is "/" here. */
import assert from "node:assert/strict";
import real from "node:path/posix";
import fc from "fast-check";
import * as own from "../../../studio/node/path.ts";

const path = fc.array(fc.constantFrom("a", "b.c", ".", "..", "", "/", "d.tar.gz", ".e"), {
  minLength: 1,
  maxLength: 6,
})
  .map((parts) => parts.join("/"));

Deno.test("paths are joined, resolved and taken apart as on a machine", () => {
  fc.assert(fc.property(fc.array(path, { minLength: 1, maxLength: 3 }), (parts) => {
    const [first] = parts as [string];
    assert.equal(own.join(...parts), real.join(...parts), `join ${parts}`);
    assert.equal(own.resolve(...parts), real.resolve("/", ...parts), `resolve ${parts}`);
    const [from, to] = [first, parts.at(-1)!].map((part) => real.resolve("/", part)) as [string, string];
    assert.equal(own.relative(from, to), real.relative(from, to), `relative ${from} ${to}`);
    assert.equal(own.isAbsolute(first), real.isAbsolute(first), `isAbsolute ${first}`);
    assert.equal(own.normalize(first), real.normalize(first), `normalize ${first}`);
    assert.equal(own.dirname(real.join(first)), real.dirname(real.join(first)), `dirname ${first}`);
    assert.equal(own.basename(first), real.basename(first), `basename ${first}`);
    assert.equal(own.extname(real.join(first)), real.extname(real.join(first)), `extname ${first}`);
  }));
  assert.equal(own.basename("a/model.gguf", ".gguf"), "model");
});

/** What a release would publish, and what stands against it. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { temporaryFolder } from "../../platform/temporary.ts";
import { objections, packedAt, showPacked } from "../../tools/release.ts";

Deno.test("objections() names each reason against a release, and none where there is none", () => {
  const ready = {
    version: "1.2.3",
    modelVersion: "1.2.3",
    changelog: "# Changelog\n\n## 1.2.3, 4 May 2027\n\n## 1.2.2\n",
    changed: [],
  };
  assert.deepEqual(objections(ready), []);
  assert.match(
    objections({ ...ready, modelVersion: "1.2.2" })[0]!,
    /embedded model's package has version 1\.2\.2/,
  );
  assert.match(objections({ ...ready, changed: [" M mod.ts"] })[0]!, /1 files differ from the last commit/);
  assert.match(
    objections({ ...ready, changelog: "## 1.2.34\n" })[0]!,
    /begins with "1\.2\.34", not with 1\.2\.3/,
  );
  assert.match(objections({ ...ready, changelog: "## 1.2.3, not yet released\n" })[0]!, /not yet released/);
});

Deno.test("packedAt() has a file's length and the SHA-256 that NIST gives for it", () => {
  const folder = temporaryFolder("graft release-");
  try {
    writeFileSync(`${folder}/a.tgz`, "abc"); // FIPS 180-4, example 1
    const packed = packedAt(`${folder}/a.tgz`, "@a/b", "1.0.0");
    assert.equal(packed.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert.equal(showPacked([packed]), `@a/b  1.0.0          3 bytes  sha256 ${packed.sha256}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

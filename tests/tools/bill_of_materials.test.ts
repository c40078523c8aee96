/** Crates of a lock file as parts of a bill of materials. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { cratesOf, withCrates } from "../../tools/bill_of_materials.ts";

const LOCK = `version = 4

[[package]]
name = "own"
version = "0.1.0"
dependencies = [
 "other",
]

[[package]]
name = "other"
version = "1.2.3+x"
source = "registry+https://somewhere"
checksum = "abcd"
`;

Deno.test("cratesOf() has the crates of registries with their checksums", () => {
  assert.deepEqual(cratesOf(LOCK), [{
    type: "library",
    "bom-ref": "pkg:cargo/other@1.2.3+x",
    name: "other",
    version: "1.2.3+x",
    purl: "pkg:cargo/other@1.2.3+x",
    hashes: [{ alg: "SHA-256", content: "abcd" }],
  }]);
});

Deno.test("every crate of the kernels' lock file is in the bill, which has the package's name", () => {
  const lock = readFileSync(new URL("../../ops/wasm/crate/Cargo.lock", import.meta.url), "utf8");
  const bill = withCrates(
    { metadata: { component: { name: "folder" } }, components: [{ name: "x" }] },
    "@a/b",
    lock,
  );
  assert.equal(bill.metadata.component.name, "@a/b");
  const names = bill.components.map((part) => (part as { readonly name: string }).name);
  assert.ok(names.includes("x") && names.includes("faer"));
  assert.equal(names.length, lock.split("[[package]]").length - 1);
  for (const part of bill.components.slice(1)) {
    assert.match(
      (part as { readonly hashes: readonly { readonly content: string }[] }).hashes[0]!.content,
      /^[0-9a-f]{64}$/,
    );
  }
});

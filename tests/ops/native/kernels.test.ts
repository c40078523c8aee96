/** Packages of kernels: which is a machine's, and which libraries are refused. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { checkedLibrary, type KernelsRecord, packageOf } from "../../../ops/native/kernels.ts";
import record from "../../../ops/wasm/lib/SOURCE_HASH.json" with { type: "json" };
import { inFolder } from "../../support/folder.ts";

Deno.test("packageOf() names the package of a machine, and none where there is none", () => {
  assert.equal(packageOf("linux", "x64"), "@graft/native-linux-x64-gnu");
  assert.equal(packageOf("darwin", "x64"), undefined);
  assert.equal(packageOf("linux", "s390x"), undefined);
});

Deno.test("checkedLibrary() refuses a library of another version, and one that is damaged", async () => {
  await inFolder((folder) => {
    const path = `${folder}/library of ключ.so`;
    writeFileSync(path, "machine code");
    const whole: KernelsRecord = {
      file: "library of ключ.so",
      sources: record.sources,
      sha256: createHash("sha256").update("machine code").digest("hex"),
    };
    const checked = (kernels: KernelsRecord): string => {
      writeFileSync(`${folder}/kernels.json`, JSON.stringify(kernels));
      return checkedLibrary(pathToFileURL(`${folder}/kernels.json`).href);
    };
    assert.equal(checked(whole), path);
    assert.throws(
      () => checked({ ...whole, sources: "0".repeat(64) }),
      /they are of another version of graft/,
    );
    writeFileSync(path, "machine code.");
    assert.throws(() => checked(whole), /they are damaged \(SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}\)/);
  });
});

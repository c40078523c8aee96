/** Packages beside graft: where they are looked for. */
import assert from "node:assert/strict";
import { cachedFolder, installedFile, versionIn } from "../../platform/companion_package.ts";

Deno.test("versionIn() reads the version of an address of the web alone", () => {
  assert.equal(versionIn("https://registry/@graft/peft/1.2.3-rc.1/ops/native/kernels.ts"), "1.2.3-rc.1");
  assert.equal(versionIn("file:///a/@graft/peft/1.2.3/ops/native/kernels.ts"), undefined);
  assert.equal(versionIn("https://elsewhere/graft/ops/native/kernels.ts"), undefined);
});

Deno.test("a package that is not installed has no file and no folder", async () => {
  assert.equal(installedFile("@graft/no-such-package/package.json"), undefined);
  assert.equal(await cachedFolder("@graft/no-such-package"), undefined);
});

/** Packages beside graft: where they are looked for. */
import assert from "node:assert/strict";
import { errorCode } from "../../errors/error.ts";
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

Deno.test("a package that Deno cannot load from the web says why", async () => {
  const from = "https://registry/@graft/peft/1.2.3/platform/companion_package.ts";
  await assert.rejects(cachedFolder("no package's name", from), (error: Error) => {
    assert.equal(errorCode(error), "FILE_NOT_FOUND");
    assert.match(error.message, /^Cannot load npm:no package's name@1\.2\.3: ./);
    assert.ok(error.message.includes((error.cause as Error).message.trim().replace(/\.$/, "")));
    return true;
  });
});

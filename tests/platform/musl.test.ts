/** Linux with musl, told by its loaders. */
import assert from "node:assert/strict";
import process from "node:process";
import { hasOnlyMusl } from "../../platform/musl.ts";

Deno.test("a Linux with musl's loader alone has only musl", () => {
  const linux = process.platform === "linux";
  assert.equal(hasOnlyMusl((path) => /ld-musl-/.test(path)), linux);
  assert.equal(hasOnlyMusl((path) => /ld-linux-/.test(path)), false);
  assert.equal(hasOnlyMusl(() => true), false, "both are installed: Debian with its package of musl");
  assert.equal(hasOnlyMusl(() => false), false, "nothing may be read");
});

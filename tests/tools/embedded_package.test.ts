/** The embedded model's npm package: what installs it, and the files that a model's folder has. */
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { temporaryFolder } from "../../platform/temporary.ts";
import settings from "../../deno.json" with { type: "json" };
import { folder as ofSource } from "../../embedded/model/mod.ts";
import { buildEmbeddedPackage } from "../../tools/embedded_package.ts";

Deno.test("the embedded model's package exports the folder with its files, at the library's version", async () => {
  const folder = temporaryFolder("graft model ключ-");
  try {
    const tarball = buildEmbeddedPackage(`${folder}/a package`);
    assert.match(tarball, new RegExp(`graft-embedded-model-${settings.version}\\.tgz$`));
    const { folder: found } = await import(pathToFileURL(`${folder}/a package/mod.js`).href);
    assert.equal(found, pathToFileURL(`${folder}/a package/`).href);
    const model = (names: readonly string[]): readonly string[] =>
      names.filter((name) => /json$|safetensors$/.test(name) && !/^(deno|package)\.json$/.test(name)).sort();
    assert.deepEqual(model(readdirSync(new URL(found))), model(readdirSync(new URL(ofSource))));
    assert.equal(model(readdirSync(new URL(found))).length, 4);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

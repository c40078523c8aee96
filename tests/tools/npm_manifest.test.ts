/** package.json from deno.json. */
import assert from "node:assert/strict";
import { dependenciesOf, manifestOf, tsconfigOf } from "../../tools/npm_manifest.ts";

const SETTINGS = {
  name: "@graft/peft",
  version: "1.2.3",
  license: "Apache-2.0",
  exports: { ".": "./mod.ts", "./ops/wasm": "./ops/wasm/mod.ts" },
  imports: { "@a/b": "npm:@a/b@^0.2", "c": "npm:c@~3.1", "unused": "npm:unused@^1", "bare": "npm:bare" },
};
const SOURCES = [
  'import { x } from "@a/b";\nimport fs from "node:fs";\nimport y from "./unused.ts";',
  'const z = await import("c/deep");',
];

Deno.test("dependenciesOf() has the packages that sources import, with the versions of deno.json", () => {
  assert.deepEqual(dependenciesOf(SETTINGS, SOURCES), { "@a/b": "^0.2", "c": "~3.1" });
  assert.throws(
    () => dependenciesOf(SETTINGS, ['import "x" from "bare";', 'export * from "bare";']),
    /with a version/,
  );
});

Deno.test("manifestOf() gives each export its types, and npm no script to run", () => {
  const manifest = manifestOf(SETTINGS, SOURCES);
  assert.deepEqual(manifest["exports"], {
    ".": { types: "./mod.d.ts", default: "./mod.js" },
    "./ops/wasm": { types: "./ops/wasm/mod.d.ts", default: "./ops/wasm/mod.js" },
    "./package.json": "./package.json",
  });
  assert.deepEqual(manifest["bin"], { graft: "bin/graft.js" });
  assert.ok(!("scripts" in manifest));
  const native = manifest["optionalDependencies"] as Readonly<Record<string, string>>;
  assert.equal(native["@graft/native-win32-x64-gnu"], "1.2.3");
  assert.deepEqual(new Set(Object.values(native)), new Set(["1.2.3"]));
});

Deno.test("the embedded model is a peer of the same version, which npm does not install by itself", () => {
  const { peerDependencies, peerDependenciesMeta, dependencies } = manifestOf(SETTINGS, SOURCES);
  assert.deepEqual(peerDependencies, { "@graft/embedded-model": "1.2.3" });
  assert.deepEqual(peerDependenciesMeta, { "@graft/embedded-model": { optional: true } });
  assert.deepEqual(Object.keys(dependencies as object), ["@a/b", "c"]);
});

Deno.test("tsconfigOf() starts from every export", () => {
  assert.deepEqual((tsconfigOf(SETTINGS) as { readonly files: unknown }).files, [
    "./mod.ts",
    "./ops/wasm/mod.ts",
  ]);
});

/** The front of the native library: every kernel of every level, under names of its own. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { SYMBOLS } from "../../ops/native/symbols.ts";
import { frontSource } from "../../tools/native_front.ts";
import {
  levelManifest,
  levelsOf,
  THIS_MACHINE,
  withLevelsNames,
  workspaceManifest,
} from "../../tools/native_workspace.ts";

const crate = new URL("../../ops/wasm/crate/", import.meta.url);
const sources = readdirSync(new URL("src/", crate)).map((name) =>
  readFileSync(new URL(`src/${name}`, crate), "utf8")
);

Deno.test("withLevelsNames() names each kernel that is called, and leaves none unnamed", () => {
  const named = sources.map((source) => withLevelsNames(source, "avx2")).join("\n");
  const names = [...named.matchAll(/export_name = "graft_avx2_(\w+)"/g)].map(([, name]) => name!);
  assert.doesNotMatch(named, /no_mangle/);
  assert.equal(new Set(names).size, names.length);
  for (const name of Object.keys(SYMBOLS)) {
    if (name !== "vectors") assert.ok(names.includes(name), name);
  }
});

Deno.test("frontSource() asks the CPU for all that a level was compiled with, the widest first", () => {
  const source = frontSource(levelsOf("x64"));
  for (const { flags, needs } of levelsOf("x64")) {
    const compiled = (flags[1] ?? "target-feature=").replace("target-feature=", "").split(",").filter((one) =>
      one !== ""
    );
    assert.deepEqual(compiled.map((feature) => feature.slice(1)), needs);
    for (const feature of needs) {
      assert.ok(source.includes(`is_x86_feature_detected!("${feature}")`), feature);
    }
  }
  assert.ok(source.indexOf('"avx512f"') < source.indexOf("return 1;"));
  for (const name of Object.keys(SYMBOLS)) {
    assert.ok(source.includes(`pub ${name === "vectors" ? "" : "unsafe "}extern "C" fn ${name}(`), name);
  }
});

Deno.test("each level is a crate of its own, with the crate's own dependencies", () => {
  const manifest = levelManifest(readFileSync(new URL("Cargo.toml", crate), "utf8"), "avx2");
  assert.match(manifest, /^name = "graft-avx2"$/m);
  assert.match(manifest, /^crate-type = \["rlib"\]$/m);
  assert.match(manifest, /^faer = /m);
  assert.doesNotMatch(manifest, /profile/);
  assert.match(
    workspaceManifest(levelsOf("x64")),
    /\[profile\.release\.package\.graft-avx512\]\nrustflags = \["-C", "target-feature=\+avx2,/,
  );
  assert.match(workspaceManifest(THIS_MACHINE), /members = \["front", "native"\]/);
});

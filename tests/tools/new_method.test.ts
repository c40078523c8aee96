/** `deno task new-method`: what it writes is well typed and obeys the laws as it stands. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { methodNames, newMethod } from "../../tools/new_method.ts";
import { temporaryFolder } from "../cli/tiny.ts";
import { deno } from "../support/deno.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

/** A project that shares all but its methods with this one. */
function projectIn(folder: string): void {
  mkdirSync(`${folder}/tests/methods`, { recursive: true });
  cpSync(`${ROOT}/methods`, `${folder}/methods`, { recursive: true });
  for (const copied of ["tools", "docs", "cli", "tuning", "io"]) {
    cpSync(`${ROOT}/${copied}`, `${folder}/${copied}`, { recursive: true });
  }
  // A module of WebAssembly is loaded from where it really lies, so no link will do.
  cpSync(`${ROOT}/ops`, `${folder}/ops`, { recursive: true, filter: (path) => !path.includes("/crate") });
  const shared = readdirSync(ROOT).filter((name) =>
    !["methods", "ops", "tests", "tools", "docs", "cli", "tuning", "io", ".git", "node_modules"].includes(
      name,
    )
  );
  for (const name of shared) symlinkSync(`${ROOT}/${name}`, `${folder}/${name}`);
  symlinkSync(`${ROOT}/tests/support`, `${folder}/tests/support`);
  mkdirSync(`${folder}/tests/oracles`);
  symlinkSync(`${ROOT}/tests/oracles/golden`, `${folder}/tests/oracles/golden`);
}

Deno.test("a new method's files are formatted, linted, well typed, and pass the laws", async () => {
  using folder = temporaryFolder();
  projectIn(folder.path);
  const [method, test, oracle, ...others] = newMethod("rescaling", "row-gain", folder.path);
  assert.deepEqual([method, test, oracle], [
    "methods/rescaling/row_gain.ts",
    "tests/methods/rescaling/row_gain.test.ts",
    "tests/oracles/row_gain.py",
  ]);
  assert.deepEqual(others, [], "nothing else is written by hand");
  assert.match(readFileSync(`${folder.path}/${oracle}`, "utf8"), /golden\/row_gain\/row_gain\.safetensors/);
  const config = ["--config", `${ROOT}/deno.json`];
  for (const command of [["fmt", "--check"], ["lint"]]) {
    const { code, said } = await deno([...command, ...config, method!, test!], folder.path);
    assert.equal(code, 0, said);
  }
  const index = await deno(["run", "-A", "--no-lock", ...config, "tools/method_index.ts"], folder.path);
  assert.equal(index.code, 0, index.said);
  assert.match(readFileSync(`${folder.path}/methods/index.ts`, "utf8"), /rowGain\.definition/);
  assert.match(readFileSync(`${folder.path}/methods/exports.ts`, "utf8"), /rowGain, type RowGainOptions/);
  assert.match(readFileSync(`${folder.path}/docs/methods/reference.md`, "utf8"), /### `row-gain`/);
  const { code, said } = await deno(["test", "-A", "--no-lock", ...config, test!], folder.path);
  assert.equal(code, 0, said);
  assert.ok(Number(/(\d+) passed \| 0 failed/.exec(said)?.[1]) >= 12, said);
});

Deno.test("a name that is taken or none is refused, and nothing is written", () => {
  using folder = temporaryFolder();
  projectIn(folder.path);
  const before = readFileSync(`${folder.path}/methods/mod.ts`, "utf8");
  assert.throws(
    () => newMethod("low_rank", "lora", folder.path),
    /methods\/low_rank\/lora\.ts exists already: choose another name/,
  );
  for (const bad of ["", "MyMethod", "my_method", "-a", "../x"]) {
    assert.throws(() => newMethod("low_rank", bad, folder.path), SyntaxError);
  }
  for (const word of ["class", "delete", "default", "await", "undefined"]) {
    assert.throws(
      () => newMethod("low_rank", word, folder.path),
      /is a word of TypeScript: choose another name/,
      word,
    );
  }
  const taken = [["merge", "core/adapters/merge.ts"], ["load-model", "io/load_model.ts"], [
    "target",
    "core/edits/targets.ts",
  ]];
  for (const [name, exporter] of taken) {
    assert.throws(() => newMethod("low_rank", name!, folder.path), {
      message: new RegExp(`^${exporter} exports`),
    }, name);
  }
  assert.equal(readFileSync(`${folder.path}/methods/mod.ts`, "utf8"), before);
  assert.deepEqual(methodNames("a-b2-c"), { name: "a-b2-c", file: "a_b2_c", factory: "aB2C", type: "AB2C" });
});

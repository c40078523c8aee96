/**
 * Prebuilt kernels in a fresh project: the platform's package turns native on in Node, Bun and Deno, with the same bits; without it
 * the same project computes on WASM. Needs Rust, npm's registry and minutes; part of `deno task test:npm`.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { packageOf } from "../../ops/native/kernels.ts";
import { temporaryFolder } from "../../platform/temporary.ts";
import { buildNativePackage, PLATFORMS } from "../../tools/native_packages.ts";
import { buildNpmPackage } from "../../tools/npm_package.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url)).replace(/[\\/]$/, "");
const RUNTIMES: Readonly<Record<string, readonly string[]>> = {
  "Node 22": ["npx", "-y", "node@22"],
  "Node 24": ["npx", "-y", "node@24"],
  "Bun": ["npx", "-y", "bun"],
  "Deno": [Deno.execPath(), "run", "-A", "--node-modules-dir=manual"],
};

function run(command: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}): string {
  const { success, stdout, stderr } = new Deno.Command(command[0]!, { args: command.slice(1), cwd, env })
    .outputSync();
  const [said, noted] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `${command.join(" ")}\n${said}\n${noted}`);
  return said!.trim();
}

const folder = temporaryFolder("graft kernels ключ-");
globalThis.addEventListener("unload", () => rmSync(folder, { recursive: true, force: true }));
const project = `${folder}/a project`;
mkdirSync(project);
cpSync(`${ROOT}/embedded/model`, `${project}/model`, { recursive: true });
cpSync(new URL("native.js", import.meta.url), `${project}/native.js`);
writeFileSync(`${project}/package.json`, JSON.stringify({ private: true, type: "module" }));
const platform = PLATFORMS.find(({ os, cpu }) => os === process.platform && cpu === process.arch)!;
const { os, cpu } = platform;
const tarballs = [await buildNpmPackage(`${folder}/built`), buildNativePackage(`${folder}/native`, platform)];
run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", ...tarballs], project);
const installed = `${project}/node_modules/${packageOf(os, cpu)!}`;

/** Two lines: backend, build and loss; the text. */
const computed = (said: string): readonly string[] => said.split("\n").slice(1);

Deno.test("the platform's package makes every runtime compute natively, to the same bits", () => {
  const said = Object.values(RUNTIMES).map((runtime) =>
    run([...runtime, "native.js"], project, { GRAFT_BACKEND: "" })
  );
  for (const one of said) {
    assert.match(
      one,
      /^Computing on native: the kernels here fit this machine\nnative [0-9a-f]{8} \d+ lanes/,
    );
    assert.deepEqual(computed(one), computed(said[0]!));
  }
});

Deno.test("narrower vectors compute what the widest do within rounding", () => {
  const lossOf = (env: Readonly<Record<string, string>>): number =>
    Number(computed(run([...RUNTIMES["Node 24"]!, "native.js"], project, env))[0]!.split(" ").at(-1));
  const widest = lossOf({});
  for (const level of cpu === "x64" ? ["avx2", "baseline"] : []) {
    assert.ok(Math.abs(lossOf({ GRAFT_VECTORS: level }) - widest) < 1e-4, level);
  }
});

Deno.test("a damaged library is refused, and without the package the same project computes on WASM", () => {
  const record = `${installed}/kernels.json`;
  const whole = readFileSync(record, "utf8");
  writeFileSync(record, whole.replace(/"sha256": "../, '"sha256": "xx'));
  const [first] = run([...RUNTIMES["Node 24"]!, "native.js"], project).split("\n");
  assert.match(
    first!,
    /^Computing on wasm, because of this: Cannot use the native kernels ".*": they are damaged/,
  );
  writeFileSync(record, whole);
  renameSync(installed, `${folder}/removed`);
  for (const runtime of Object.values(RUNTIMES)) {
    const said = run([...runtime, "native.js"], project);
    assert.match(said, /^Computing on wasm, because no native kernels are built or installed here .*\nwasm /);
  }
});

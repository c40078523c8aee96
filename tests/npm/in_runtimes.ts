/**
 * The npm package in fresh projects: packed, installed, and run by Node, Bun and Deno to the same bits. Needs npm's registry and
 * takes minutes, so it is a task of its own: `deno task test:npm`.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../../platform/temporary.ts";
import { buildEmbeddedPackage } from "../../tools/embedded_package.ts";
import { buildNpmPackage } from "../../tools/npm_package.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url)).replace(/[\\/]$/, "");

/** Runtimes by how npm starts them. */
const RUNTIMES: Readonly<Record<string, readonly string[]>> = {
  "Node 22": ["npx", "-y", "node@22"],
  "Node 24": ["npx", "-y", "node@24"],
  "Bun": ["npx", "-y", "bun"],
};

function run(command: readonly string[], cwd: string): string {
  const { success, stdout, stderr } = new Deno.Command(command[0]!, { args: command.slice(1), cwd })
    .outputSync();
  const [said, noted] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `${command.join(" ")}\n${said}\n${noted}`);
  return said!.trim();
}

/** README's script with the package's own model, which needs no network. */
function readmeScript(): string {
  const [, script] = /```ts\n([\s\S]*?)```/.exec(readFileSync(`${ROOT}/README.md`, "utf8")) ?? [];
  assert.ok(script);
  return script.replace('"HuggingFaceTB/SmolLM2-135M-Instruct"', '"model"') + "backend.close();\n";
}

/** A module whose one function is relaxed_madd, which an engine may round once or twice. */
const MADD = "AGFzbQEAAAABCAFgA319fQF9AwIBAAcFAQFmAAAKFgEUACAA/RMgAf0TIAL9E/2FAv0fAAs=";

/** Whether a runtime's engine rounds relaxed_madd once, as V8 does on CPUs with FMA: JavaScriptCore rounds twice on x64. */
function fuses(runtime: readonly string[]): boolean {
  writeFileSync(
    `${project}/madd.js`,
    `const bytes = Uint8Array.from(atob("${MADD}"), (letter) => letter.charCodeAt(0));\n` +
      "const { f } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;\n" +
      "console.log(f(1 + 2 ** -13, 1 - 2 ** -13, -1) !== 0);\n",
  );
  return run([...runtime, "madd.js"], project) === "true";
}

/** The same text, what was saved is what was loaded, and losses to six digits. */
function assertNear(said: string, expected: string): void {
  const [own, others] = [said, expected].map((text) => text.split("\n"));
  assert.equal(own!.at(-1), others!.at(-1));
  assert.equal(own!.at(-2), own!.at(-3));
  assert.equal(own!.length, others!.length);
  for (const [i, line] of own!.slice(0, -3).entries()) {
    const [step, loss] = line.split(" ").map(Number);
    const [wanted, other] = others![i]!.split(" ").map(Number);
    assert.equal(step, wanted);
    assert.ok(Math.abs(loss! - other!) < 1e-5 * other!, `${line} beside ${others![i]}`);
  }
}

const folder = temporaryFolder("graft npm ключ-");
const [project, ofDeno] = [`${folder}/a project`, `${folder}/of deno`];
globalThis.addEventListener("unload", () => rmSync(folder, { recursive: true, force: true }));

for (const to of [project, ofDeno]) {
  mkdirSync(to, { recursive: true });
  cpSync(`${ROOT}/embedded/model`, `${to}/model`, { recursive: true });
  for (const name of ["train.js", "bits.js", "worker.js"]) {
    cpSync(new URL(name, import.meta.url), `${to}/${name}`);
  }
  writeFileSync(`${to}/readme.ts`, readmeScript());
  const turn = {
    dialogue: "ann: where is my parcel?\nbob: it arrives on monday",
    summary: "It arrives on Monday.",
  };
  writeFileSync(`${to}/train.jsonl`, `${JSON.stringify(turn)}\n`.repeat(4));
}
writeFileSync(`${project}/package.json`, JSON.stringify({ private: true, type: "module" }));
writeFileSync(
  `${ofDeno}/deno.json`,
  JSON.stringify({ links: [ROOT], imports: { "@graft/peft": "jsr:@graft/peft@^0.1.0" } }),
);
const tarball = await buildNpmPackage(`${folder}/built`);
const packages = [tarball, buildEmbeddedPackage(`${folder}/embedded model`)];
run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", ...packages], project);
// Node 22 has no `using`: a compiler writes it out, as in any project of TypeScript.
run(
  ["npx", "-y", "esbuild@0.28", "readme.ts", "--target=es2022", "--outfile=readme.js", "--log-level=error"],
  project,
);
const expected = run([Deno.execPath(), "run", "-A", "train.js"], ofDeno);
const expectedOfWorker = run([Deno.execPath(), "run", "-A", "worker.js"], ofDeno);
const expectedBits = run([Deno.execPath(), "run", "-A", "bits.js"], ofDeno);

Deno.test("the package runs no script when it is installed, and has no clone's files", () => {
  const { scripts } = JSON.parse(readFileSync(`${project}/node_modules/@graft/peft/package.json`, "utf8"));
  assert.equal(scripts, undefined);
  const paths = run(["tar", "-tzf", tarball], project).split("\n");
  assert.deepEqual(paths.filter((path) => /^package\/(tests|tools|bench|claims|docs)\//.test(path)), []);
});

Deno.test("what is downloaded is less than 3 MB packed, without the embedded model", () => {
  const { size } = statSync(tarball);
  assert.ok(size < 3e6, `${size} bytes`);
  const paths = run(["tar", "-tzf", tarball], project).split("\n");
  assert.deepEqual(paths.filter((path) => /\.safetensors$|^package\/embedded\/model/.test(path)), []);
});

for (const [name, runtime] of Object.entries(RUNTIMES)) {
  Deno.test(`twenty steps of LoRA, saved and loaded again, give Deno's ${name === "Bun" ? "text" : "bits"} in ${name}`, () => {
    const said = run([...runtime, "train.js"], project);
    if (fuses(runtime)) assert.equal(said, expected);
    else assertNear(said, expected);
  });

  Deno.test(`training and sampled text on the reference backend have Deno's bits in ${name}`, () => {
    assert.equal(run([...runtime, "bits.js"], project), expectedBits);
  });

  Deno.test(`a worker of ${name} trains and writes as one of Deno does, is aborted, and says what failed`, () => {
    const said = run([...runtime, "worker.js"], project);
    if (fuses(runtime)) return assert.equal(said, expectedOfWorker);
    const [own, others] = [said, expectedOfWorker].map((text) => text.split("\n"));
    const numbers = (lines: readonly string[]): readonly number[] =>
      lines.slice(0, 6).flatMap((line) => line.split(" ").map(Number));
    const expected = numbers(others!);
    for (const [i, number] of numbers(own!).entries()) {
      assert.ok(
        Math.abs(number - expected[i]!) < 1e-5 * expected[i]!,
        `${said}\nbeside\n${expectedOfWorker}`,
      );
    }
    assert.deepEqual(own!.slice(6), others!.slice(6));
  });

  Deno.test(`README's script runs in ${name}`, () => {
    assert.match(run([...runtime, "readme.js"], project), /^(\d+\.\d+\n){6}/);
    rmSync(`${project}/adapter`, { recursive: true });
  });

  Deno.test(`graft methods prints its table in ${name}`, () => {
    const said = run([
      ...runtime,
      "node_modules/@graft/peft/bin/graft.js",
      "methods",
      "-m",
      "embedded",
      "--wide",
    ], project);
    assert.match(said, /^method .*MAdds\/token\n/);
  });

  Deno.test(`${name} says that it has no WebGPU, and that a file is no native kernels`, () => {
    writeFileSync(
      `${project}/lacks.js`,
      'import { gpu } from "@graft/peft/ops/gpu";\nimport { native } from "@graft/peft/ops/native";\n' +
        "try { await gpu(); } catch (error) { console.log(error.message); }\n" +
        `try { native({ library: ${
          JSON.stringify(`${project}/train.js`)
        } }); } catch (error) { console.log(error.message); }\n`,
    );
    const [ofGpu, ofNative] = run([...runtime, "lacks.js"], project).split("\n");
    assert.match(ofGpu!, /this runtime has no WebGPU; use Deno 2 or a browser, or the wasm backend/);
    assert.match(ofNative!, /^Cannot open the native kernels ".*train\.js": .*use the wasm backend$/);
  });
}

for (const name of ["Node 22", "Node 24"] as const) {
  Deno.test(`require() loads the package in ${name}`, () => {
    const said = run([...RUNTIMES[name]!, "-e", 'console.log(typeof require("@graft/peft").lora)'], project);
    assert.equal(said.split("\n").at(-1), "function");
  });
}

Deno.test("a bundle of lora alone has less than 120 KB, and no WASM", () => {
  writeFileSync(
    `${project}/lora.js`,
    'import { lora } from "@graft/peft";\nconsole.log(lora({ rank: 4 }).name);\n',
  );
  const flags = ["--bundle", "--minify", "--format=esm", "--platform=node", "--outfile=lora.bundle.mjs"];
  run(["npx", "-y", "esbuild@0.28", "lora.js", ...flags, "--log-level=error"], project);
  const bundle = readFileSync(`${project}/lora.bundle.mjs`, "utf8");
  assert.ok(bundle.length < 120_000, `${bundle.length} bytes`);
  assert.doesNotMatch(bundle, /AGFzbQ/); // how a module of WebAssembly begins in base64
  assert.equal(run([...RUNTIMES["Node 22"]!, "lora.bundle.mjs"], project), "lora");
});

Deno.test("npm links graft as the command line", () => {
  assert.match(
    run(["npx", "-y", "node@24", "node_modules/.bin/graft", "--version"], project),
    /^\d+\.\d+\.\d+$/,
  );
});

/** TypeScript 5.9 knows no WebGPU: who has it check the insides of libraries, too, gives it the types of @webgpu/types. */
const COMPILERS = [
  { version: "5.9", skipLibCheck: true, types: [] },
  { version: "5.9", skipLibCheck: false, types: ["@webgpu/types"] },
  { version: "6.0", skipLibCheck: false, types: [] },
] as const;

for (const { version, skipLibCheck, types } of COMPILERS) {
  Deno.test(`the declarations type-check by TypeScript ${version}, libraries ${skipLibCheck ? "skipped" : "checked"}`, () => {
    writeFileSync(
      `${project}/main.ts`,
      'import { lora, type Method } from "@graft/peft";\nimport { startTraining } from "@graft/peft/train";\n' +
        "export const method: Method = lora({ rank: 4 });\nexport const start: typeof startTraining = startTraining;\n" +
        "// @ts-expect-error a rank is a number\nlora({ rank: true });\n",
    );
    for (const name of types) run(["npm", "install", "--no-audit", "--no-fund", name], project);
    for (const module of ["nodenext", "preserve"]) {
      const strict = { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true };
      const compilerOptions = { ...strict, noEmit: true, skipLibCheck, target: "es2023", module, types };
      writeFileSync(
        `${project}/tsconfig.json`,
        JSON.stringify({
          compilerOptions: { ...compilerOptions, lib: ["esnext", "dom"] },
          files: ["main.ts"],
        }),
      );
      run(["npx", "-y", "-p", `typescript@${version}`, "tsc"], project);
    }
  });
}

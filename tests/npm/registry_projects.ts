/** What tests of a registry share: the registry, the runtimes, the place without a clone, and projects there. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { temporaryFolder } from "../../platform/temporary.ts";
import { publishedFiles } from "../../tools/npm_package.ts";
import {
  addressOf,
  answers,
  installVerdaccio,
  type RegistryPlace,
  verdaccioSettings,
} from "./local_registry.ts";
import { builtPackages, VERSION } from "./published.ts";
import { installRuntimes, type RuntimeTools } from "./runtime_tools.ts";
import { openSandbox, type Sandbox, type Surroundings } from "./sandbox.ts";

export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url)).replace(/[\\/]$/, "");

export const folder: string = temporaryFolder("graft registry ключ-");
export const place: RegistryPlace = { folder: `${folder}/registry`, port: 20_000 + process.pid % 20_000 };
const registry = addressOf(place);
export const REGISTRY: Readonly<Record<string, string>> = {
  npm_config_registry: registry,
  NPM_CONFIG_REGISTRY: registry,
};

/** Runs a program outside of the sandbox. */
function outside(
  command: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): string {
  const [name, ...args] = command;
  const { success, stdout, stderr } = new Deno.Command(name!, { args, cwd, env }).outputSync();
  const [said, noted] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `${command.join(" ")}\n${said}\n${noted}`);
  return said!.trim();
}

export const upstream: string = outside(["npm", "config", "get", "registry"], folder);
installVerdaccio(place.folder);
export const runtimes: readonly RuntimeTools[] = installRuntimes(`${folder}/runtimes`);
const [node22, node24] = runtimes as readonly [RuntimeTools, RuntimeTools];
const { tarballs, sizes } = await builtPackages(`${folder}/built`);
for (const [name, size] of Object.entries(sizes)) console.log(`${name}: ${size} bytes`);

const verdaccio = (settings: string): readonly string[] => [
  `${node22.path}/node`,
  `${place.folder}/node_modules/verdaccio/bin/verdaccio`,
  "--config",
  settings,
];

/** Publishes everything, and has the registry fetch what the packages depend on, while there is a network. */
async function fillRegistry(): Promise<void> {
  const [program, ...args] = verdaccio(verdaccioSettings(place, upstream));
  const server = spawn(program!, args, { stdio: ["ignore", "ignore", "inherit"] });
  try {
    await answers(() => fetch(`${registry}-/ping`).then(({ ok }) => ok, () => false));
    const npm = [`${node24.path}/npm`, "--cache", `${folder}/npm cache`, "--registry", registry];
    writeFileSync(`${place.folder}/.npmrc`, `//127.0.0.1:${place.port}/:_authToken=none\n`);
    const account = ["--userconfig", `${place.folder}/.npmrc`];
    for (const tarball of tarballs) outside([...npm, "publish", ...account, tarball], folder);
    const scratch = `${folder}/scratch`;
    mkdirSync(scratch);
    writeFileSync(`${scratch}/package.json`, JSON.stringify({ private: true }));
    const plots = ["@observablehq/plot@^0.6", "linkedom@^0.18"]; // which a notebook imports
    outside([...npm, "install", "--no-audit", "--no-fund", `@graft/peft@${VERSION}`, ...plots], scratch);
    rmSync(scratch, { recursive: true });
  } finally {
    server.kill();
  }
}

/** Installs the Python that runs notebooks: the system's, since the sandbox has an empty home. */
function installJupyter(): string {
  const to = `${folder}/jupyter`;
  outside(["/usr/bin/python3", "-m", "venv", to], folder);
  const quietly = ["install", "--quiet", "--disable-pip-version-check"];
  outside([`${to}/bin/pip`, ...quietly, "-r", `${ROOT}/notebooks/requirements.txt`], folder);
  mkdirSync(`${to}/kernels/graft-deno`, { recursive: true });
  const argv = ["deno", "jupyter", "--kernel", "--conn", "{connection_file}"];
  const kernel = { argv, display_name: "Deno", language: "typescript" };
  writeFileSync(`${to}/kernels/graft-deno/kernel.json`, JSON.stringify(kernel));
  cpSync(`${ROOT}/notebooks/execute.py`, `${to}/execute.py`);
  cpSync(`${ROOT}/notebooks/from_an_empty_folder.ipynb`, `${to}/notebook.ipynb`);
  return to;
}

/** A folder with `bin/python`, `execute.py`, `notebook.ipynb` and, for JUPYTER_PATH, the kernel "graft-deno". */
export const jupyter: string = installJupyter();
await fillRegistry();
export const sandbox: Sandbox = openSandbox([ROOT, homedir()], `${folder}/home`);
globalThis.addEventListener("unload", () => {
  sandbox[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});
export const inFolder: Surroundings = { cwd: folder, path: [node24.path] };
sandbox.start(verdaccio(verdaccioSettings(place, undefined)), inFolder);
await answers(() => sandbox.try(["curl", "-sf", `${registry}-/ping`], inFolder).code === 0);

const [, readme] = /```ts\n([\s\S]*?)```/.exec(readFileSync(`${ROOT}/README.md`, "utf8"))!;
const script = readme!.replace('"HuggingFaceTB/SmolLM2-135M-Instruct"', "process.argv[2]!");
const { code: readmeScript } = await esbuild.transform(
  `import process from "node:process";\n${script}backend.close();\n`,
  { loader: "ts", target: "es2022" },
);
await esbuild.stop();
const EXAMPLE = {
  dialogue: "ann: where is my parcel?\nbob: it arrives on monday",
  summary: "It arrives on Monday.",
};

/** A project with the programs of this test. */
function projectFor(name: string): string {
  const to = `${folder}/projects/${name} ключ`;
  mkdirSync(to, { recursive: true });
  for (const file of ["train.js", "native.js", "client.js", "two_versions.js", "worker.js"]) {
    cpSync(new URL(file, import.meta.url), `${to}/${file}`);
  }
  writeFileSync(`${to}/readme.js`, readmeScript);
  writeFileSync(
    `${to}/where.js`,
    'import { folder } from "@graft/embedded-model";\nimport { fileURLToPath } from "node:url";\n' +
      "console.log(fileURLToPath(folder));\n",
  );
  writeFileSync(`${to}/train.jsonl`, `${JSON.stringify(EXAMPLE)}\n`.repeat(4));
  // Deno waits a day before it trusts a release, which does not help here.
  if (name.startsWith("Deno")) writeFileSync(`${to}/deno.json`, JSON.stringify({ minimumDependencyAge: 0 }));
  else writeFileSync(`${to}/package.json`, JSON.stringify({ private: true, type: "module" }));
  return to;
}

/** A runtime in its project. */
interface Project {
  readonly runtime: RuntimeTools;
  readonly cwd: string;
  /** Runs a program of the runtime's folder or the system. */
  run(command: readonly string[], more?: Partial<Surroundings>): string;
  script(name: string, args?: readonly string[], more?: Partial<Surroundings>): string;
  graft(args: readonly string[], more?: Partial<Surroundings>): string;
}

export function openProject(runtime: RuntimeTools, name: string = runtime.name): Project {
  const cwd = projectFor(name);
  const run = (command: readonly string[], { env = {}, ...more }: Partial<Surroundings> = {}): string =>
    sandbox.run(command, { cwd, path: [runtime.path], env: { ...REGISTRY, ...env }, ...more });
  return {
    runtime,
    cwd,
    run,
    script: (file, args = [], more = {}) => run([...runtime.script, file, ...args], more),
    graft: (args, more = {}) => run([...runtime.graft, ...args], more),
  };
}

/** Writes the sources as JSR serves them: packages by their full names. */
export function serveSources(to: string): void {
  const { imports } = JSON.parse(readFileSync(`${ROOT}/deno.json`, "utf8"));
  for (const path of publishedFiles()) {
    mkdirSync(dirname(`${to}/${path}`), { recursive: true });
    const text = readFileSync(`${ROOT}/${path}`, "utf8");
    writeFileSync(
      `${to}/${path}`,
      text.replace(/((?:from|import\()\s*")([^"]+)"/g, (all, start: string, name: string) => {
        const [known] = Object.keys(imports).filter((key) => name === key || name.startsWith(`${key}/`));
        return known === undefined ? all : `${start}${imports[known]}${name.slice(known.length)}"`;
      }),
    );
  }
}

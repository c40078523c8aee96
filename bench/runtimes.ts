/**
 * The npm package in each runtime: how soon a first product is there, how long `graft --help` and twenty steps of LoRA take, beside
 * Deno's. `deno run -A bench/runtimes.ts [REPEATS]`; it needs npm's registry. Runs take turns, on one thread. Each
 * time is told twice: the processor's, which another program on the machine changes little, and the clock's; of both the least.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../platform/temporary.ts";
import { installRuntimes, type RuntimeTools } from "../tests/npm/runtime_tools.ts";
import { buildEmbeddedPackage } from "../tools/embedded_package.ts";
import { buildNpmPackage } from "../tools/npm_package.ts";

/** Milliseconds of one run, and the bits that it trained. */
interface Times {
  readonly imported: number;
  readonly first: number;
  /** Of the processor, with the start of the runtime. */
  readonly firstComputed: number;
  readonly trained: number;
  /** Of the processor. */
  readonly trainedComputed: number;
  readonly hash: string;
  readonly help: number;
}

function run(command: readonly string[], cwd: string, path: string): string {
  const [name, ...args] = command;
  const { status, stdout, stderr } = spawnSync(name!, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, PATH: `${path}:${process.env["PATH"]}` },
  });
  if (status !== 0) throw new Error(`${command.join(" ")} failed: ${stdout}${stderr}`);
  return stdout;
}

function timesOf({ path, script }: RuntimeTools, project: string): Times {
  const model = `${project}/node_modules/@graft/embedded-model`;
  const times = JSON.parse(run([...script, "in_runtime.js", model], project, path));
  const start = performance.now();
  run([...script, "node_modules/@graft/peft/bin/graft.js", "--help"], project, path);
  return { ...times, help: performance.now() - start };
}

if (import.meta.main) {
  const repeats = Number(process.argv[2] ?? 5);
  const folder = temporaryFolder("graft runtimes-");
  const project = `${folder}/project`;
  mkdirSync(project);
  cpSync(fileURLToPath(new URL("in_runtime.js", import.meta.url)), `${project}/in_runtime.js`);
  writeFileSync(`${project}/package.json`, JSON.stringify({ private: true, type: "module" }));
  const runtimes = installRuntimes(`${folder}/runtimes`);
  const tarballs = [await buildNpmPackage(`${folder}/built`), buildEmbeddedPackage(`${folder}/model`)];
  run(
    ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", ...tarballs],
    project,
    runtimes[1]!.path,
  );
  const rounds = Array.from({ length: repeats }, () => runtimes.map((runtime) => timesOf(runtime, project)));
  const of = (i: number, name: Exclude<keyof Times, "hash">): number =>
    Math.min(...rounds.map((round) => round[i]![name]));
  const deno = runtimes.findIndex(({ name }) => name === "Deno");
  console.log(
    "runtime | import, ms | first product, ms | processor, ms | graft --help, ms | 20 steps, ms | processor, ms | of Deno's | bits",
  );
  for (const [i, { name }] of runtimes.entries()) {
    const times = (
      ["imported", "first", "firstComputed", "help", "trained", "trainedComputed"] as const
    ).map((time) => of(i, time).toFixed(0));
    const hashes = new Set(rounds.map((round) => round[i]!.hash));
    const same = [...hashes].every((hash) => hash === rounds[0]![deno]!.hash) ? "Deno's" : "its own";
    const ratio = of(i, "trainedComputed") / of(deno, "trainedComputed");
    console.log([name, ...times, ratio.toFixed(2), same].join(" | "));
  }
  rmSync(folder, { recursive: true });
}

/** The runtimes as programs in folders, without what this machine has installed of them. */
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, writeFileSync } from "node:fs";
import process from "node:process";

/** A runtime in a folder of its own, with the names under which its users know it. */
export interface RuntimeTools {
  readonly name: string;
  /** Folder of its programs. */
  readonly path: string;
  /** Runs a script. */
  readonly script: readonly string[];
  /** Adds packages, named with versions, to a project. */
  add(packages: readonly string[]): readonly string[];
  /** Runs the command line of the installed package. */
  readonly graft: readonly string[];
}

const ARCH = process.arch === "x64" ? "x64" : "arm64";
const BUN_ARCH = process.arch === "x64" ? "x64" : "aarch64";

/** Installs Node 22 and 24 with npm and pnpm, Bun and Deno below a folder, and Node 20 beside them. @throws {Error} with what npm said. */
export function installRuntimes(folder: string): readonly RuntimeTools[] {
  mkdirSync(folder, { recursive: true });
  const packages = [
    `node20@npm:node-linux-${ARCH}@^20`,
    `node22@npm:node-linux-${ARCH}@^22`,
    `node24@npm:node-linux-${ARCH}@^24`,
    `bun@npm:@oven/bun-linux-${BUN_ARCH}@^1`,
    "npm@^11",
    "pnpm@^10",
  ];
  writeFileSync(`${folder}/package.json`, JSON.stringify({ private: true }));
  // The platform's packages of runtimes state no scripts; npm's own alias keeps two versions of Node apart.
  const { status, stdout, stderr } = spawnSync("npm", [
    "install",
    "--no-audit",
    "--no-fund",
    "--ignore-scripts",
    "--force",
    ...packages,
  ], { cwd: folder, encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot install the runtimes: ${stdout}${stderr}`);
  const modules = `${folder}/node_modules`;
  const program = (path: string, ...command: readonly string[]): void => {
    writeFileSync(path, `#!/bin/sh\nexec ${command.map((word) => `'${word}'`).join(" ")} "$@"\n`);
    chmodSync(path, 0o755);
  };
  const node = (major: number): RuntimeTools => {
    const path = `${folder}/bin-node${major}`;
    mkdirSync(path);
    const own = `${modules}/node${major}/bin/node`;
    program(`${path}/node`, own);
    program(`${path}/npm`, own, `${modules}/npm/bin/npm-cli.js`);
    program(`${path}/npx`, own, `${modules}/npm/bin/npx-cli.js`);
    program(`${path}/pnpm`, own, `${modules}/pnpm/bin/pnpm.cjs`);
    return {
      name: `Node ${major}`,
      path,
      script: ["node"],
      add: (packages) => ["npm", "install", "--no-audit", "--no-fund", ...packages],
      graft: ["npx", "graft"],
    };
  };
  const bun = `${folder}/bin-bun`;
  mkdirSync(bun);
  program(`${bun}/bun`, `${modules}/bun/bin/bun`);
  program(`${bun}/bunx`, `${modules}/bun/bin/bun`, "x");
  const denoFolder = `${folder}/bin-deno`;
  mkdirSync(denoFolder);
  cpSync(Deno.execPath(), `${denoFolder}/deno`);
  return [
    node(22),
    node(24),
    {
      name: "Bun",
      path: bun,
      script: ["bun", "run"],
      add: (packages) => ["bun", "add", ...packages],
      graft: ["bunx", "--bun", "graft"],
    },
    {
      name: "Deno",
      path: denoFolder,
      script: ["deno", "run", "-A"],
      add: (packages) => ["deno", "add", ...packages.map((name) => `npm:${name}`)],
      graft: ["deno", "run", "-A", "npm:@graft/peft/graft"],
    },
  ];
}

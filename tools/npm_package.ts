/**
 * Builds the npm package from the files that JSR would get: `deno run -A tools/npm_package.ts FOLDER`. TypeScript's own
 * compiler checks them and writes declarations, esbuild writes JavaScript and source maps, and npm packs them.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { writeBrowserModules } from "./npm_browser.ts";
import { bundleModules } from "./npm_modules.ts";
import { manifestOf, type PackageSettings, tsconfigOf } from "./npm_manifest.ts";
import { packedFolder } from "./packed_folder.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url)).replace(/[\\/]$/, "");

/** What npm starts: a module of the command line that is the program in every runtime. Node keeps what it compiled. */
const PROGRAM = `#!/usr/bin/env node
import module from "node:module";
import process from "node:process";

module.enableCompileCache?.();
const { main } = await import("../cli/main.js");
process.exit(await main(process.argv.slice(2)));
`;

/** Runs a program in a folder. @throws {Error} with what it said when it fails. */
function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (status !== 0) {
    throw new Error(`${command} ${args.join(" ")} failed: ${error?.message ?? `${stdout}${stderr}`}`);
  }
  return stdout + stderr;
}

/** The paths of the files that JSR would get. */
export function publishedFiles(): readonly string[] {
  const said = run("deno", ["publish", "--dry-run", "--allow-dirty", "--no-check"], ROOT);
  return [...said.matchAll(/file:\/\/(\S+) \([\d.]+[KM]?B\)/g)].map(([, path]) =>
    decodeURIComponent(path!).slice(ROOT.length + 1)
  );
}

/** Declarations name each other as the sources do; the compiler renames modules in JavaScript alone. */
function withJsNames(folder: string): void {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".d.ts")
  );
  for (const path of paths.map((path) => join(folder, path))) {
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace(/((?:from|import\()\s*"\.\.?\/[^"]*?)(?<!\.d)\.ts"/g, '$1.js"'));
  }
}

/** Writes the package's folder and its tarball into `folder`, which is emptied. @returns The tarball's path. */
export async function buildNpmPackage(folder: string): Promise<string> {
  rmSync(folder, { recursive: true, force: true });
  const [sources, built] = [join(folder, "sources"), join(folder, "package")];
  const settings: PackageSettings = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
  const files = publishedFiles();
  for (const path of files) cpSync(join(ROOT, path), join(sources, path));
  const used = files.filter((path) => path.endsWith(".ts")).map((path) =>
    readFileSync(join(ROOT, path), "utf8")
  );
  const manifest = manifestOf(settings, used);
  const json = (path: string, value: unknown): void => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, JSON.stringify(value, undefined, 2) + "\n");
  };
  json(join(sources, "package.json"), {
    ...manifest,
    devDependencies: {
      typescript: "~5.9.0",
      "@types/node": "^22.0.0",
      "@types/cli-progress": "^3.0.0",
      "@webgpu/types": "^0.1.0",
    },
  });
  json(join(sources, "tsconfig.json"), tsconfigOf(settings));
  run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund"], sources);
  run("npx", ["tsc", "--project", "tsconfig.json"], sources);
  withJsNames(built);
  await bundleModules(sources, settings.exports, built);
  for (
    const path of files.filter((path) =>
      /^[^/]*$|\.d\.ts$/.test(path) && !/^(deno\.json|mod\.ts)$/.test(path)
    )
  ) {
    cpSync(join(sources, path), join(built, path));
  }
  json(join(built, "package.json"), { ...manifest, browser: writeBrowserModules(built) });
  mkdirSync(join(built, "bin"), { recursive: true });
  writeFileSync(join(built, "bin/graft.js"), PROGRAM, { mode: 0o755 });
  return packedFolder(built);
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) {
    console.error("Usage: deno run -A tools/npm_package.ts FOLDER");
    process.exit(2);
  }
  console.log(await buildNpmPackage(folder));
}

/**
 * Writes the API's pages, with a search, into a folder that git ignores: `deno task api`, then open `runs/api/index.html`.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import configuration from "../deno.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** The arguments of `deno` that write the pages of every export into a folder. */
export function apiSiteArguments(folder: string): readonly string[] {
  const entries = Object.values<string>(configuration.exports);
  return ["doc", "--html", `--name=${configuration.name}`, `--output=${folder}`, ...entries];
}

if (import.meta.main) {
  const folder = process.argv[2] ?? "runs/api";
  rmSync(`${ROOT}${folder}`, { recursive: true, force: true });
  mkdirSync(`${ROOT}${folder}`, { recursive: true }); // deno doc makes no parents
  const { status } = spawnSync("deno", apiSiteArguments(folder), { cwd: ROOT, stdio: "inherit" });
  if (status === 0) console.log(`Open ${folder}/index.html`);
  process.exit(status ?? 1);
}

/**
 * Builds the npm package of the embedded model, from the folder that JSR would get: `deno run -A tools/embedded_package.ts FOLDER`.
 *
 * @module
 */
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import settings from "../embedded/model/deno.json" with { type: "json" };
import { packedFolder } from "./packed_folder.ts";

const MODEL = fileURLToPath(new URL("../embedded/model/", import.meta.url));

/** Its module: what embedded/model/mod.ts says, in JavaScript. */
const MODULE = 'export const folder = new URL("./", import.meta.url).href;\n';
const TYPES =
  "/** The address of the folder with the model's files. */\nexport declare const folder: string;\n";

/** package.json. */
export const embeddedManifest = (): Readonly<Record<string, unknown>> => ({
  name: settings.name,
  version: settings.version,
  description: "graft's embedded model, which knows customers' conversations",
  license: settings.license,
  type: "module",
  sideEffects: false,
  exports: { ".": { types: "./mod.d.ts", default: "./mod.js" }, "./*": "./*" },
});

/** Writes the package into `folder`, which is emptied, and packs it. @returns The tarball's path. @throws {Error} with what npm said. */
export function buildEmbeddedPackage(folder: string): string {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const file of readdirSync(MODEL).filter((file) => !["mod.ts", "deno.json"].includes(file))) {
    copyFileSync(join(MODEL, file), join(folder, file));
  }
  writeFileSync(join(folder, "mod.js"), MODULE);
  writeFileSync(join(folder, "mod.d.ts"), TYPES);
  writeFileSync(join(folder, "package.json"), JSON.stringify(embeddedManifest(), undefined, 2) + "\n");
  return packedFolder(folder);
}

if (import.meta.main) {
  const [folder] = process.argv.slice(2);
  if (folder === undefined) {
    console.error("Usage: deno run -A tools/embedded_package.ts FOLDER");
    process.exit(2);
  }
  console.log(buildEmbeddedPackage(folder));
}

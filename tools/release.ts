/**
 * Builds and prints what a release would publish: `deno task release FOLDER [PLATFORM…]`. It publishes nothing; docs/releasing.md says
 * what follows.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import settings from "../deno.json" with { type: "json" };
import embedded from "../embedded/model/deno.json" with { type: "json" };
import { billOfProject, withCrates } from "./bill_of_materials.ts";
import { buildEmbeddedPackage } from "./embedded_package.ts";
import {
  buildNativePackage,
  packageManifest,
  type Platform,
  platformName,
  PLATFORMS,
} from "./native_packages.ts";
import { buildNpmPackage } from "./npm_package.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url)).replace(/[\\/]$/, "");

/** A package as a registry gets it. */
export interface Packed {
  readonly name: string;
  readonly version: string;
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Describes a tarball. */
export function packedAt(path: string, name: string, version: string): Packed {
  const bytes = readFileSync(path);
  return {
    name,
    version,
    path,
    bytes: bytes.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
  };
}

/** What stands against a release of a version. */
export function objections(
  { version, modelVersion, changelog, changed }: {
    readonly version: string;
    readonly modelVersion: string;
    readonly changelog: string;
    /** Paths that the last commit does not have so. */
    readonly changed: readonly string[];
  },
): readonly string[] {
  const [, heading] = /^## (.*)$/m.exec(changelog) ?? [];
  return [
    ...modelVersion === version
      ? []
      : [`the embedded model's package has version ${modelVersion}, not ${version}`],
    ...heading === version || heading?.startsWith(`${version},`)
      ? []
      : [`CHANGELOG.md begins with "${heading ?? ""}", not with ${version}`],
    ...heading?.includes("not yet released") ? ["CHANGELOG.md says that it is not yet released"] : [],
    ...changed.length === 0 ? [] : [`${changed.length} files differ from the last commit: ${changed[0]} …`],
  ];
}

/** A table of what is packed. */
export const showPacked = (packages: readonly Packed[]): string => {
  const wide = Math.max(...packages.map(({ name }) => name.length));
  return packages.map(({ name, version, bytes, sha256 }) =>
    `${name.padEnd(wide)}  ${version}  ${String(bytes).padStart(9)} bytes  sha256 ${sha256}`
  ).join("\n");
};

/** The platforms that this machine links for. */
const ownPlatforms = (names: readonly string[]): readonly Platform[] =>
  PLATFORMS.filter((platform) =>
    names.length > 0
      ? names.includes(platformName(platform))
      : platform.os !== "darwin" || process.platform as string === "darwin"
  );

/** Runs a program of the clone. @throws {Error} with what it said when it fails. */
function run(command: string, args: readonly string[], cwd: string = ROOT): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8", maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${stdout}${stderr}`);
  return stdout;
}

/** Builds every package into a folder. */
export async function buildRelease(
  folder: string,
  platforms: readonly Platform[],
): Promise<readonly Packed[]> {
  mkdirSync(folder, { recursive: true });
  const { name, version } = settings;
  return [
    packedAt(await buildNpmPackage(join(folder, "library")), name, version),
    packedAt(buildEmbeddedPackage(join(folder, "embedded-model")), embedded.name, embedded.version),
    ...platforms.map((platform) =>
      packedAt(
        buildNativePackage(join(folder, "native"), platform),
        String(packageManifest(platform, "")["name"]),
        version,
      )
    ),
  ];
}

if (import.meta.main) {
  const [folder, ...names] = process.argv.slice(2);
  if (folder === undefined) {
    console.error("Usage: deno task release FOLDER [PLATFORM…]");
    process.exit(2);
  }
  const platforms = ownPlatforms(names);
  const packages = await buildRelease(folder, platforms);
  const bill = join(folder, `graft-${settings.version}.cdx.json`);
  const lock = readFileSync(join(ROOT, "ops/wasm/crate/Cargo.lock"), "utf8");
  writeFileSync(
    bill,
    JSON.stringify(
      withCrates(billOfProject(join(folder, "library/sources")), settings.name, lock),
      undefined,
      2,
    ),
  );
  const sums = packages.map(({ sha256, path }) => `${sha256}  ${relative(folder, path)}\n`).join("");
  writeFileSync(join(folder, "SHA256SUMS"), sums);
  for (const jsr of [ROOT, join(ROOT, "embedded/model")]) {
    run("deno", ["publish", "--dry-run", "--allow-dirty"], jsr);
  }
  console.log(`To npm:\n${showPacked(packages)}`);
  console.log(`To JSR, by 'deno publish' (the dry run was clean):`);
  for (const { name, version } of [settings, embedded]) console.log(`${name}@${version}`);
  console.log(`Bill of materials: ${basename(bill)}, checksums: SHA256SUMS, in ${folder}`);
  const missing = PLATFORMS.filter((platform) => !platforms.includes(platform)).map(platformName);
  if (missing.length > 0) console.log(`Not built here: ${missing.join(", ")}`);
  const stands = objections({
    version: settings.version,
    modelVersion: embedded.version,
    changelog: readFileSync(join(ROOT, "CHANGELOG.md"), "utf8"),
    changed: run("git", ["status", "--porcelain"]).split("\n").filter((line) => line !== ""),
  });
  for (const objection of stands) console.log(`Not ready: ${objection}`);
}

/** The packages of a release as a registry gets them, at their version and as an older one. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import settings from "../../deno.json" with { type: "json" };
import { packageManifest, PLATFORMS } from "../../tools/native_packages.ts";
import { packedFolder } from "../../tools/packed_folder.ts";
import { buildRelease } from "../../tools/release.ts";

/** The version of this source. */
export const VERSION: string = settings.version;
/** The version as which the same packages are published before. */
export const OLD = "0.0.9";

/** What is published, the older version first. */
export interface Built {
  readonly tarballs: readonly string[];
  /** Bytes of each package of this version. */
  readonly sizes: Readonly<Record<string, number>>;
}

/** Packages that `deno task release` built in a folder. @throws {AssertionError} where one differs from its checksum. */
function releasedIn(folder: string): readonly string[] {
  return readFileSync(join(folder, "SHA256SUMS"), "utf8").trim().split("\n").map((line) => {
    const [sum, name] = line.split("  ");
    const path = join(folder, name!);
    assert.equal(createHash("sha256").update(readFileSync(path)).digest("hex"), sum, path);
    return path;
  });
}

/**
 * Builds them, or takes those of the folder that GRAFT_RELEASE names. Of platforms that were not built there is the description
 * alone, which is all that npm reads of them here.
 */
export async function builtPackages(folder: string): Promise<Built> {
  const here = PLATFORMS.find(({ os, cpu }) => os === process.platform && cpu === process.arch)!;
  const released = process.env["GRAFT_RELEASE"];
  const built = released === undefined || released === ""
    ? (await buildRelease(folder, [here])).map(({ path }) => path)
    : releasedIn(released);
  const described = PLATFORMS.map((platform) => packageManifest(platform, "library"))
    .filter(({ name }) => !built.some((path) => path.includes(basename(String(name)))))
    .map((manifest) => {
      const to = join(folder, "described", basename(String(manifest["name"])));
      mkdirSync(to, { recursive: true });
      writeFileSync(join(to, "package.json"), JSON.stringify({ ...manifest, exports: {}, files: [] }));
      return packedFolder(to);
    });
  const tarballs = [...described, ...built];
  return {
    tarballs: [...tarballs.map((tarball) => asOlder(tarball, join(folder, "older"))), ...tarballs],
    sizes: Object.fromEntries(built.map((path) => [basename(path), statSync(path).size])),
  };
}

/** The same package under the older version's number. */
function asOlder(tarball: string, folder: string): string {
  const to = join(folder, basename(tarball, ".tgz"));
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true });
  const { status, stderr } = spawnSync("tar", ["-xzf", tarball, "-C", to], { encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot unpack ${tarball}: ${stderr}`);
  const own = join(to, "package");
  const names = readdirSync(own, { recursive: true, encoding: "utf8" });
  for (
    const path of names.filter((name) => /(^package\.json|\.js)$/.test(name)).map((name) => join(own, name))
  ) {
    const text = readFileSync(path, "utf8");
    if (text.includes(`"${VERSION}"`)) writeFileSync(path, text.replaceAll(`"${VERSION}"`, `"${OLD}"`));
  }
  return packedFolder(own);
}

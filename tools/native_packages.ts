/**
 * Builds the npm packages of native kernels: `deno run -A tools/native_packages.ts FOLDER [PLATFORM…]`, by default all that this
 * machine's linkers make. Needs Rust with the platforms' targets (`rustup target add`), for linux-arm64 Debian's
 * gcc-aarch64-linux-gnu, for win32-x64 mingw-w64; darwin-arm64 is built on a Mac.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import metadata from "../deno.json" with { type: "json" };
import { type KernelsRecord, packageOf } from "../ops/native/kernels.ts";
import record from "../ops/wasm/lib/SOURCE_HASH.json" with { type: "json" };
import { levelsOf } from "./native_workspace.ts";
import { buildLibrary } from "./native_library.ts";
import { packedFolder } from "./packed_folder.ts";

/** A platform: Rust's name, what npm is told, and how this machine links for it. */
export interface Platform {
  readonly target: string;
  readonly os: string;
  readonly cpu: "x64" | "arm64";
  readonly libc?: "glibc";
  readonly env?: Readonly<Record<string, string>>;
}

/** The platforms that have packages. */
export const PLATFORMS: readonly Platform[] = [
  { target: "x86_64-unknown-linux-gnu", os: "linux", cpu: "x64", libc: "glibc" },
  {
    target: "aarch64-unknown-linux-gnu",
    os: "linux",
    cpu: "arm64",
    libc: "glibc",
    env: { CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER: "aarch64-linux-gnu-gcc" },
  },
  { target: "aarch64-apple-darwin", os: "darwin", cpu: "arm64" },
  {
    target: "x86_64-pc-windows-gnu",
    os: "win32",
    cpu: "x64",
    env: { CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER: "x86_64-w64-mingw32-gcc" },
  },
];

/** A platform's name in packages: "linux-x64". */
export const platformName = ({ os, cpu }: Platform): string => `${os}-${cpu}`;

/** package.json of a platform's package. */
export const packageManifest = (
  { os, cpu, libc }: Platform,
  file: string,
): Readonly<Record<string, unknown>> => ({
  name: packageOf(os, cpu)!,
  version: metadata.version,
  description: `Native kernels of ${metadata.name} for ${os} on ${cpu}`,
  license: metadata.license,
  type: "module",
  os: [os],
  cpu: [cpu],
  ...libc !== undefined && { libc: [libc] },
  exports: { ".": "./index.js", "./kernels.json": "./kernels.json" },
  files: [file, "index.js", "kernels.json"],
});

/** Writes and packs a platform's package. @returns The tarball's path. @throws {Error} with what cargo or npm said. */
export function buildNativePackage(folder: string, platform: Platform): string {
  const { target, cpu, env = {} } = platform;
  const library = buildLibrary(join(folder, `build-${platformName(platform)}`), {
    levels: levelsOf(cpu),
    target,
    env,
  });
  const to = join(folder, platformName(platform));
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true });
  const file = basename(library);
  copyFileSync(library, join(to, file));
  const kernels: KernelsRecord = {
    file,
    sources: record.sources,
    sha256: createHash("sha256").update(readFileSync(library)).digest("hex"),
  };
  const json = (name: string, value: unknown): void =>
    writeFileSync(join(to, name), JSON.stringify(value, undefined, 2) + "\n");
  json("kernels.json", kernels);
  json("package.json", packageManifest(platform, file));
  writeFileSync(join(to, "index.js"), 'export const folder = new URL("./", import.meta.url).href;\n');
  return packedFolder(to);
}

if (import.meta.main) {
  const [folder, ...names] = process.argv.slice(2);
  if (folder === undefined) {
    console.error("Usage: deno run -A tools/native_packages.ts FOLDER [PLATFORM…]");
    process.exit(2);
  }
  const here = process.platform as string;
  const wanted = PLATFORMS.filter((platform) =>
    names.length === 0
      ? platform.os !== "darwin" || here === "darwin"
      : names.includes(platformName(platform))
  );
  for (const platform of wanted) console.log(buildNativePackage(folder, platform));
}

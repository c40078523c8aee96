/**
 * Where the native kernels of this machine lie: built here by `deno task native`, or prebuilt in a package of its platform, which
 * npm installs beside graft as an optional dependency and Deno opens from its own cache.
 */
import { readFileSync, statSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isMissing } from "../../platform/files.ts";
import { cachedFolder, installedFile } from "../../platform/companion_package.ts";
import record from "../wasm/lib/SOURCE_HASH.json" with { type: "json" };
import { libraryPath } from "./machine.ts";
import { failure } from "../../errors/error.ts";

/** A library, and where it is from. */
export interface FoundKernels {
  readonly path: string;
  /** "this machine" or the package's name. */
  readonly from: string;
}

/** What a package of kernels says of its library: `kernels.json`. */
export interface KernelsRecord {
  /** The library's file in the package. */
  readonly file: string;
  /** The hash of the sources that it was built from. */
  readonly sources: string;
  readonly sha256: string;
}

const PACKAGES: Readonly<Record<string, string>> = {
  "linux x64": "@graft/native-linux-x64-gnu",
  "linux arm64": "@graft/native-linux-arm64-gnu",
  "darwin arm64": "@graft/native-darwin-arm64",
  "win32 x64": "@graft/native-win32-x64-gnu",
};

/** All of them. */
export const NATIVE_PACKAGES: readonly string[] = Object.values(PACKAGES);

/** The package of a machine's kernels; undefined where there is none. */
export const packageOf = (system: string, cpu: string): string | undefined => PACKAGES[`${system} ${cpu}`];

const ownPackage = (): string | undefined => packageOf(process.platform, process.arch);

/** Whether there is a library where `deno task native` puts it. */
export function isBuiltHere(): boolean {
  try {
    return statSync(libraryPath()).isFile();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/**
 * The library built here, or that of a package in node_modules.
 *
 * @throws {Error} when a package's library is of another version, or damaged.
 */
export function installedKernels(): FoundKernels | undefined {
  if (import.meta.dirname !== undefined && isBuiltHere()) {
    return { path: libraryPath(), from: "this machine" };
  }
  const name = ownPackage();
  const url = name === undefined ? undefined : installedFile(`${name}/kernels.json`);
  return url === undefined ? undefined : { path: checkedLibrary(url), from: name! };
}

/** As `installedKernels`; a package that was loaded from the web, by Deno, asks Deno's cache and npm's registry, too. */
export async function findKernels(): Promise<FoundKernels | undefined> {
  const installed = installedKernels();
  const name = ownPackage();
  if (installed !== undefined || name === undefined) return installed;
  const folder = await cachedFolder(name);
  return folder === undefined
    ? undefined
    : { path: checkedLibrary(new URL("kernels.json", folder).href), from: name };
}

/** The path of a package's library. @throws {Error} when it does not fit these sources, or is damaged. */
export function checkedLibrary(url: string): string {
  const { file, sources, sha256 }: KernelsRecord = JSON.parse(readFileSync(fileURLToPath(url), "utf8"));
  const path = fileURLToPath(new URL(file, url));
  if (sources !== record.sources) {
    throw failure(
      "BACKEND_UNAVAILABLE",
      `Cannot use the native kernels "${path}": they are of another version of graft; install them again with it`,
    );
  }
  const { createHash } = process.getBuiltinModule("node:crypto"); // no program on WASM waits for it
  const found = createHash("sha256").update(readFileSync(path)).digest("hex");
  if (found !== sha256) {
    throw failure(
      "BACKEND_UNAVAILABLE",
      `Cannot use the native kernels "${path}": they are damaged (SHA-256 ${found}, expected ${sha256}); install them again`,
    );
  }
  return path;
}

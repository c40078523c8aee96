/**
 * Builds the native library: `deno run -A tools/native_library.ts` for this machine, into ops/native/lib;
 * `tools/native_packages.ts` for platforms. Needs Rust.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { frontSource } from "./native_front.ts";
import {
  frontManifest,
  type Level,
  levelManifest,
  THIS_MACHINE,
  withLevelsNames,
  workspaceManifest,
} from "./native_workspace.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const CRATE = join(ROOT, "ops/wasm/crate");

/** Names of the library, by system. */
const FILES = ["libgraft_kernels.so", "libgraft_kernels.dylib", "graft_kernels.dll"];

/** Writes the workspace into a folder. Sources that did not change keep their times, so that cargo builds them once. */
function layWorkspace(folder: string, levels: readonly Level[]): void {
  const write = (path: string, text: string): void => {
    const file = join(folder, path);
    if (existsSync(file) && readFileSync(file, "utf8") === text) return;
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, text);
  };
  write("Cargo.toml", workspaceManifest(levels));
  if (!existsSync(join(folder, "Cargo.lock"))) cpSync(join(CRATE, "Cargo.lock"), join(folder, "Cargo.lock"));
  write("front/Cargo.toml", frontManifest(levels));
  write("front/src/lib.rs", frontSource(levels));
  const manifest = readFileSync(join(CRATE, "Cargo.toml"), "utf8");
  for (const { name } of levels) {
    write(`${name}/Cargo.toml`, levelManifest(manifest, name));
    for (const file of readdirSync(join(CRATE, "src"))) {
      write(`${name}/src/${file}`, withLevelsNames(readFileSync(join(CRATE, "src", file), "utf8"), name));
    }
  }
}

/** How to build. */
export interface LibraryOptions {
  readonly levels: readonly Level[];
  /** Rust's name of another machine than this. */
  readonly target?: string;
  /** More of the environment: a linker. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Builds a library in a folder, which keeps what was compiled. @returns Its path. @throws {Error} with what cargo said. */
export function buildLibrary(folder: string, { levels, target, env = {} }: LibraryOptions): string {
  layWorkspace(folder, levels);
  const run = (
    command: string,
    args: readonly string[],
    more: Readonly<Record<string, string>> = {},
  ): string => {
    const { status, stdout, stderr, error } = spawnSync(command, args, {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, ...more },
    });
    if (status !== 0) {
      throw new Error(`${command} ${args.join(" ")} failed: ${error?.message ?? stdout + stderr}`);
    }
    return stdout.trim();
  };
  const sources = run(process.execPath, ["run", "-A", "--quiet", join(ROOT, "ops/wasm/check.ts"), "--print"]);
  const own = target === undefined && levels.every(({ name }) => name === "native");
  run("cargo", ["build", "--release", "--quiet", ...target === undefined ? [] : ["--target", target]], {
    ...env,
    // core::simd and flags by package are not stable yet; they have been the same for years.
    RUSTC_BOOTSTRAP: "1",
    GRAFT_SOURCES: sources,
    ...own && { RUSTFLAGS: "-C target-cpu=native" },
  });
  const built = join(folder, "target", ...target === undefined ? [] : [target], "release");
  const file = FILES.map((name) => join(built, name)).find(existsSync);
  if (file === undefined) throw new Error(`Expected one of ${FILES.join(", ")} in ${built}`);
  return file;
}

if (import.meta.main) {
  const lib = join(ROOT, "ops/native/lib");
  const folder = process.env["GRAFT_NATIVE_TARGET"] ?? join(CRATE, "target/native");
  const built = buildLibrary(folder, { levels: THIS_MACHINE });
  mkdirSync(lib, { recursive: true });
  // A new file in the old one's place: a process that has the old one open goes on with it.
  const fresh = join(lib, "new");
  rmSync(fresh, { force: true });
  copyFileSync(built, fresh);
  renameSync(fresh, join(lib, FILES.find((name) => built.endsWith(name))!));
}

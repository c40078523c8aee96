/**
 * A running copy of the kernels as a native library: memory without WebAssembly's limit, and the CPU's widest
 * vectors.
 */
import process from "node:process";
import type { Machine } from "../wasm/machine.ts";
import { functionsOf, SYMBOLS } from "./symbols.ts";
import { isRefused } from "../../platform/files.ts";
import { canOpenLibraries, type ForeignLibrary, openLibrary } from "../../platform/foreign_library.ts";
import { failure } from "../../errors/error.ts";

/**
 * Opens the library and starts its threads.
 *
 * @param sources The hash of the sources that it must have been built from; absent: any.
 * @throws {Error} when it is missing, was built for another machine or version or from other sources, or is
 * in use.
 */
export function startNative(path: string, threads: number, sources?: string): Machine {
  const library = opened(path);
  const { sources: made, vectors, allocate, release, scratch_bytes, start_workers, end_workers, ...kernels } =
    functionsOf(
      library.symbols,
    );
  const hash = (made() >>> 0).toString(16).padStart(8, "0");
  if (sources !== undefined && hash !== sources.slice(0, 8)) {
    library.close();
    throw failure(
      "BACKEND_UNAVAILABLE",
      `Cannot open the native kernels "${path}": they were built from other sources than these; build them again with ` +
        "'deno task native'",
    );
  }
  if (start_workers(threads - 1) !== 1) {
    library.close();
    throw failure(
      "BACKEND_UNAVAILABLE",
      "Cannot start the native backend: one is open in this thread; close it first",
    );
  }
  const { view } = library;
  return {
    kernels,
    build: library.symbols["vectors"] ? `${hash} ${showVectors(vectors())}` : hash,
    largest: Number.MAX_SAFE_INTEGER,
    limit: "the machine gives no more",
    threads,
    allocate,
    release,
    view,
    wordBytes: 8,
    write: (pointer, values) =>
      new BigUint64Array(view(pointer, 8 * values.length).buffer)
        .set(Array.from(values, (value) => BigInt.asUintN(64, BigInt(value)))),
    scratch: scratch_bytes,
    stop(): void {
      end_workers();
      library.close();
    },
  };
}

/** "16 lanes, fused": what else than the sources bits depend on. */
const showVectors = (vectors: number): string => `${vectors & 255} lanes${vectors >= 256 ? ", fused" : ""}`;

function opened(path: string): ForeignLibrary {
  try {
    return openLibrary(path, SYMBOLS);
  } catch (error) {
    if (isRefused(error) || !canOpenLibraries()) throw error;
    throw failure(
      "BACKEND_UNAVAILABLE",
      `Cannot open the native kernels "${path}": build them for this machine with 'deno task native' (it needs Rust), ` +
        "or use the wasm backend",
      { cause: error },
    );
  }
}

/**
 * The path at which `deno task native` puts the library. @throws {Error} when the package was not loaded from
 * disk.
 */
export function libraryPath(): string {
  const here = import.meta.dirname;
  if (here === undefined) {
    throw failure(
      "BACKEND_UNAVAILABLE",
      "Cannot look for native kernels: this package was not loaded from disk; clone it, run 'deno task native' and " +
        "give the library's path",
    );
  }
  const [prefix, suffix] = { win32: ["", "dll"], darwin: ["lib", "dylib"] }[process.platform as string] ??
    ["lib", "so"];
  return `${here}/lib/${prefix}graft_kernels.${suffix}`;
}

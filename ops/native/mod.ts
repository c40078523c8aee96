/**
 * The native backend: the crate of the WASM backend compiled for this machine, with its widest vectors and
 * memory beyond 4 GiB. Its kernels come prebuilt in a package of the platform (`@graft/native-linux-x64-gnu` and others), or are built
 * by `deno task native`, which needs Rust; in Deno it needs `--allow-ffi`. Results are bit-identical for any number of threads; they differ from the WASM backend's by
 * f32 rounding.
 *
 * @module
 */
import type { Backend } from "../../tensor/backend.ts";
import { backend } from "../wasm/backend.ts";
import record from "../wasm/lib/SOURCE_HASH.json" with { type: "json" };
import { findKernels, type FoundKernels, installedKernels, isBuiltHere } from "./kernels.ts";
import { libraryPath, startNative } from "./machine.ts";
import { isRefused } from "../../platform/files.ts";
import { canOpenLibraries, mayOpenLibraries } from "../../platform/foreign_library.ts";
import { hasOnlyMusl } from "../../platform/musl.ts";
import { runtimeName } from "../../platform/runtime.ts";
import { rangeError } from "../../errors/error.ts";

/** How to run the native backend. */
export interface NativeOptions {
  /** Number of computing threads, including the caller's; default: the machine's number of cores. */
  readonly threads?: number;
  /**
   * Path of the library, built from any sources; default: where `deno task native` puts it, or that of the platform's package in
   * node_modules, built from these sources.
   */
  readonly library?: string;
}

/**
 * Starts the native backend. At most one per thread. Needs `--allow-ffi`.
 *
 * @throws {RangeError} when `threads` is not an integer from 1 to 1024.
 * @throws {Error} when the library is not built, was built from other sources, or this thread has one open.
 * @example
 * ```ts
 * import { isNativeBuilt, native } from "@graft/peft/ops/native";
 * import { read, tensor } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * if (isNativeBuilt()) {
 *   const backend = native({ threads: 2 });
 *   assert.deepEqual([...await read(tensor([1, 2], { backend }))], [1, 2]);
 *   backend.close(); // ends the threads
 * }
 * ```
 */
export function native(options: NativeOptions = {}): Backend {
  const threads = threadsOf(options);
  return options.library === undefined
    ? started(installedKernels(), threads)
    : backend(startNative(options.library, threads), "native");
}

/**
 * As `native()`, with kernels that only Deno's cache or npm's registry has, too: those of the platform's package, for a program
 * that imports graft from the web.
 *
 * @throws {RangeError} when `threads` is not an integer from 1 to 1024.
 * @throws {Error} when there are no kernels for this machine, or they do not start.
 * @example
 * ```ts
 * import { openNative, whyNotNative } from "@graft/peft/ops/native";
 * import assert from "node:assert/strict";
 * if (await whyNotNative() === undefined) {
 *   const backend = await openNative({ threads: 1 });
 *   assert.equal(backend.name, "native");
 *   backend.close();
 * }
 * ```
 */
export async function openNative(options: Pick<NativeOptions, "threads"> = {}): Promise<Backend> {
  const threads = threadsOf(options);
  return started(await findKernels(), threads);
}

function threadsOf({ threads = navigator.hardwareConcurrency }: NativeOptions): number {
  if (Number.isInteger(threads) && threads >= 1 && threads <= 1024) return threads;
  throw rangeError(
    "INVALID_ARGUMENT",
    `Expected threads to be an integer from 1 to 1024 but found ${threads}`,
  );
}

const started = (kernels: FoundKernels | undefined, threads: number): Backend =>
  backend(startNative(kernels?.path ?? libraryPath(), threads, record.sources), "native");

/**
 * Whether the library exists where `deno task native` puts it. Needs `--allow-read`.
 *
 * @example
 * ```ts
 * import { isNativeBuilt } from "@graft/peft/ops/native";
 * import assert from "node:assert/strict";
 * assert.equal(typeof isNativeBuilt(), "boolean");
 * ```
 */
export const isNativeBuilt = (): boolean => isBuiltHere();

/**
 * Why `native()` would not start here, in words that follow "because"; undefined where it would. It opens the library and starts
 * it on one thread to know, and asks nobody for a permission.
 *
 * @example
 * ```ts
 * import { native, whyNotNative } from "@graft/peft/ops/native";
 * import assert from "node:assert/strict";
 * const why = await whyNotNative();
 * if (why === undefined) native().close();
 * else assert.match(why, /^[a-z]/); // "no native kernels are built here"
 * ```
 */
export async function whyNotNative(): Promise<string | undefined> {
  if (!canOpenLibraries()) return `${runtimeName()} opens no libraries of machine code here`;
  if (!mayOpenLibraries()) return "the program may not open libraries (--allow-ffi)";
  try {
    const kernels = await findKernels();
    if (kernels === undefined) {
      const builds = "('deno task native' builds them; it needs Rust)";
      return hasOnlyMusl()
        ? `no native kernels are prebuilt for Linux with musl, as Alpine ${builds}`
        : `no native kernels are built or installed here ${builds}`;
    }
    startNative(kernels.path, 1, record.sources).stop();
    return undefined;
  } catch (error) {
    return isRefused(error) ? "the program may not look for native kernels (--allow-read)" : messageOf(error);
  }
}

/** An error's sentence after "because". */
const messageOf = (error: unknown): string =>
  error instanceof Error ? `of this: ${error.message}` : String(error);

/**
 * The WASM backend: one Rust crate (`crate/`), compiled to 128-bit vectors and committed (`lib/`), over one
 * memory of at most 4 GiB, with worker threads on shared memory. Imports only `tensor`. Results are
 * bit-identical for any number of threads; relaxed fused multiply-adds may differ between kinds of CPU, and
 * between engines: V8 rounds once where the CPU does, JavaScriptCore (Bun, Safari) twice on x64.
 *
 * @example
 * ```ts
 * import { wasm } from "@graft/peft/ops/wasm";
 * import assert from "node:assert/strict";
 *
 * const backend = await wasm({ threads: 1 });
 * const x = { raw: backend.allocate(8), shape: [2], dtype: "f32" as const };
 * backend.fill(3, x);
 * backend.unary("square", x, x);
 * const bytes = await backend.download(x.raw, 8);
 * assert.deepEqual([...new Float32Array(bytes.buffer)], [9, 9]);
 * backend.close();
 * ```
 *
 * @module
 */
import type { Backend } from "../../tensor/backend.ts";
import { backend } from "./backend.ts";
import { startSingle, startThreaded } from "./machine.ts";
import { rangeError } from "../../errors/error.ts";

/** How to run the WASM backend. */
export interface WasmOptions {
  /**
   * Number of computing threads, including the caller's; default: the machine's number of cores, at most 8,
   * and 1 on a page without cross-origin isolation, which cannot share memory. 1 loads the single-thread
   * build.
   */
  readonly threads?: number;
}

/**
 * Starts a WASM backend. Needs no permission. Workers do not keep the program alive; `close` terminates them.
 *
 * @throws {RangeError} when `threads` is not an integer from 1 to 64.
 * @throws {Error} when a worker does not start.
 * @example
 * ```ts
 * import { read, tensor } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * import { wasm } from "@graft/peft/ops/wasm";
 * const backend = await wasm({ threads: 2 });
 * assert.deepEqual([...await read(tensor([1, 2], { backend }))], [1, 2]);
 * backend.close(); // ends the workers
 * ```
 */
export async function wasm(options: WasmOptions = {}): Promise<Backend> {
  const threads = options.threads ?? defaultThreads();
  if (!Number.isInteger(threads) || threads < 1 || threads > 64) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected threads to be an integer from 1 to 64 but found ${threads}`,
    );
  }
  return backend(await (threads === 1 ? startSingle() : startThreaded(threads)), "wasm");
}

function defaultThreads(): number {
  const { navigator, crossOriginIsolated } = globalThis as {
    readonly navigator?: { readonly hardwareConcurrency?: number };
    readonly crossOriginIsolated?: boolean;
  };
  return crossOriginIsolated === false ? 1 : Math.min(8, navigator?.hardwareConcurrency ?? 1);
}

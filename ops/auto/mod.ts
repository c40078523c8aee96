/**
 * The backend that fits the machine: native where its kernels are here and start, WASM everywhere else. The variable
 * `GRAFT_BACKEND` of the environment chooses in its place.
 *
 * @module
 */
import type { Backend } from "../../tensor/backend.ts";
import { environmentVariable } from "../../platform/environment.ts";
import { openNative, whyNotNative } from "../native/mod.ts";
import { wasm } from "../wasm/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** Names of the backends that compute, as `GRAFT_BACKEND` has them. */
export const BACKEND_NAMES = ["wasm", "native", "reference", "gpu"] as const;

/** A backend's name, and why it is the one. */
export interface BackendChoice {
  /** Which. */
  readonly name: typeof BACKEND_NAMES[number];
  /** In words, for people: "Computing on wasm: no native kernels are built here". */
  readonly line: string;
}

/** How to choose and to run. */
export interface AutoOptions {
  /** As `WasmOptions` and `NativeOptions`; other backends have none. */
  readonly threads?: number;
  /** Is told which backend it is and why, in one line. */
  readonly onChoice?: (line: string) => void;
}

/**
 * Chooses a backend and starts none.
 *
 * @throws {RangeError} when `GRAFT_BACKEND` names none.
 * @example
 * ```ts
 * import { chooseBackend } from "@graft/peft/ops/auto";
 * import assert from "node:assert/strict";
 * assert.match((await chooseBackend()).line, /^Computing on (native|wasm|reference|gpu): /);
 * ```
 */
export async function chooseBackend(): Promise<BackendChoice> {
  const wanted = environmentVariable("GRAFT_BACKEND") ?? "auto";
  if (wanted !== "auto") {
    const name = BACKEND_NAMES.find((one) => one === wanted);
    if (name !== undefined) return { name, line: `Computing on ${name}: GRAFT_BACKEND says so` };
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected GRAFT_BACKEND to be auto, ${BACKEND_NAMES.slice(0, -1).join(", ")} or ${
        BACKEND_NAMES.at(-1)
      } but found "${wanted}"`,
    );
  }
  const why = await whyNotNative();
  return why === undefined
    ? { name: "native", line: "Computing on native: the kernels here fit this machine" }
    : { name: "wasm", line: `Computing on wasm, because ${why}` };
}

/**
 * Starts the backend that fits. Its `name` tells which it is. Results of WASM and native differ by f32 rounding: where digits are
 * quoted, name one. In Deno, native needs `--allow-ffi` and `--allow-read`; a program without them computes on WASM, and is asked nothing.
 *
 * @throws {RangeError} when `GRAFT_BACKEND` names none, or `threads` is not a number of threads.
 * @throws {Error} when the backend that `GRAFT_BACKEND` names does not start.
 * @example
 * ```ts
 * import { auto, read, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = await auto({ onChoice: console.log });
 * assert.deepEqual([...await read(tensor([1, 2], { backend }))], [1, 2]);
 * backend.close();
 * ```
 */
export async function auto({ threads, onChoice }: AutoOptions = {}): Promise<Backend> {
  const { name, line } = await chooseBackend();
  const backend = await started(name, threads === undefined ? {} : { threads });
  onChoice?.(line);
  return backend;
}

async function started(
  name: BackendChoice["name"],
  options: { readonly threads?: number },
): Promise<Backend> {
  switch (name) {
    case "wasm":
      return await wasm(options);
    case "native":
      return await openNative(options);
    case "reference":
      return (await import("../reference/mod.ts")).reference();
    case "gpu":
      return await (await import("../gpu/mod.ts")).gpu();
    default:
      return name satisfies never;
  }
}

/** The backends, for tests that must hold on each. */
import { type Backend, forgetBackend } from "../../core/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { isNativeBuilt, native } from "../../ops/native/mod.ts";
import { wasm } from "../../ops/wasm/mod.ts";
import { hasGpu, sharedGpu } from "./gpu.ts";

/** A backend's name. */
export type BackendName = "reference" | "wasm" | "native" | "gpu";

/** The backends of the host, which have every kernel; the native one where it was built. */
export const BACKENDS: readonly ("reference" | "wasm" | "native")[] = isNativeBuilt()
  ? ["reference", "wasm", "native"]
  : ["reference", "wasm"];

/** Those, and the GPU where there is an adapter or CI requires one: for what needs no factorisation or sort. */
export const ALL_BACKENDS: readonly BackendName[] = hasGpu ? [...BACKENDS, "gpu"] : BACKENDS;

/** Runs a test body on a backend of its own, and closes it. The GPU is shared, so that its pipelines are. */
export async function withBackend(
  name: BackendName,
  f: (backend: Backend) => Promise<void>,
): Promise<void> {
  if (name === "gpu") return await f(await sharedGpu());
  const backend = name === "reference"
    ? reference()
    : name === "native"
    ? native({ threads: 2 })
    : await wasm({ threads: 1 });
  try {
    await f(backend);
  } finally {
    backend.close();
    forgetBackend(backend);
  }
}

/** The backends, for tests that must hold on each. */
import { type Backend, forgetBackend } from "../../core/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { wasm } from "../../ops/wasm/mod.ts";

/** Names of the backends to test. */
export const BACKENDS: readonly ("reference" | "wasm")[] = ["reference", "wasm"];

/** Runs a test body on a backend of its own, and closes it. */
export async function withBackend(
  name: "reference" | "wasm",
  f: (backend: Backend) => Promise<void>,
): Promise<void> {
  const backend = name === "reference" ? reference() : await wasm({ threads: 1 });
  try {
    await f(backend);
  } finally {
    backend.close();
    forgetBackend(backend);
  }
}

/** The backends that are built, for tests that must hold on each. */
import { type Backend, forgetBackend } from "../../core/mod.ts";
import { reference } from "../../ops/reference/mod.ts";

const WASM = new URL("../../ops/wasm/mod.ts", import.meta.url);

/** Names of the backends to test. */
export const BACKENDS: readonly ("reference" | "wasm")[] = built(WASM)
  ? ["reference", "wasm"]
  : ["reference"];

function built(module: URL): boolean {
  try {
    return Deno.statSync(module).isFile;
  } catch {
    return false;
  }
}

/** Runs a test body on a backend of its own, and closes it. */
export async function withBackend(
  name: "reference" | "wasm",
  f: (backend: Backend) => Promise<void>,
): Promise<void> {
  const backend = name === "reference" ? reference() : await (await import(WASM.href)).wasm({ threads: 1 });
  try {
    await f(backend);
  } finally {
    backend.close();
    forgetBackend(backend);
  }
}

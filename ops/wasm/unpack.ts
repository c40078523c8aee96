/** Kernels that travel as text, because every runtime and bundler imports text, and no permission is needed to read it. */
import { gunzip } from "../../platform/gunzip.ts";
import { runtimeName } from "../../platform/runtime.ts";
import { failure } from "../../errors/error.ts";

/**
 * Compiles a module.
 *
 * @param packed The module's bytes by gzip, in base64.
 * @throws {Error} when the runtime lacks an instruction that the kernels have: relaxed SIMD in Node 20.
 */
export async function unpacked(packed: string): Promise<WebAssembly.Module> {
  const text = atob(packed);
  const gzip = new Uint8Array(text.length);
  for (let i = 0; i < gzip.length; i++) gzip[i] = text.charCodeAt(i);
  const bytes = await gunzip(gzip);
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw failure(
      "BACKEND_UNAVAILABLE",
      `Cannot compile the kernels: ${runtimeName()} lacks instructions that they have (relaxed SIMD); ` +
        "Deno 2, Node 22, Bun 1.3 and browsers since 2024 have them",
      { cause },
    );
  }
}

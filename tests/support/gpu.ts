/**
 * Tests that need a WebGPU adapter. Where there is none they are reported as ignored, unless GRAFT_REQUIRE_GPU is set, as
 * CI does: then they run, and fail.
 */
import { forgetBackend } from "../../core/mod.ts";
import { gpu, type GpuBackend, type GpuOptions } from "../../ops/gpu/mod.ts";

const adapter = await navigator.gpu?.requestAdapter();
const required = Deno.env.get("GRAFT_REQUIRE_GPU") !== undefined;

/** Registers a test that is ignored where there is no adapter and none is required. */
export function gpuTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, ignore: adapter === null || adapter === undefined ? !required : false });
}

/** Runs a test body on a GPU backend of its own, and closes it. */
export async function withGpu(
  f: (backend: GpuBackend) => Promise<void>,
  options: GpuOptions = {},
): Promise<void> {
  const backend = await gpu(options);
  try {
    await f(backend);
  } finally {
    backend.close();
    forgetBackend(backend);
  }
}

/**
 * Tests that need a WebGPU adapter. Where there is none they are reported as ignored, unless GRAFT_REQUIRE_GPU is set, as
 * CI does: then they run, and fail.
 */
import { forgetBackend } from "../../core/mod.ts";
import { gpu, type GpuBackend, type GpuOptions } from "../../ops/gpu/mod.ts";

const adapter = await navigator.gpu?.requestAdapter();

const isRequired = Deno.env.get("GRAFT_REQUIRE_GPU") !== undefined;

/** Whether tests of the GPU run: there is an adapter, or there must be. */
export const hasGpu: boolean = Boolean(adapter) || isRequired;

/** Registers a test that is ignored where there is no adapter, or none with the feature, and none is required. */
export function gpuTest(name: string, fn: () => Promise<void>, feature?: GPUFeatureName): void {
  const has = feature === undefined ? hasGpu : adapter?.features.has(feature) === true || isRequired;
  Deno.test({ name, fn, ignore: !has });
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

let shared: Promise<GpuBackend> | undefined;

/** One GPU backend for all tests of a file. */
export function sharedGpu(): Promise<GpuBackend> {
  return shared ??= gpu();
}

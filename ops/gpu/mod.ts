/**
 * The GPU backend: every kernel in WGSL over WebGPU, in Deno and browsers. Commands are recorded and
 * submitted together; only reads wait. Debian's `mesa-vulkan-drivers` provides a software adapter, so
 * everything can be tested on machines without a GPU. Imports only `tensor`.
 *
 * @example
 * ```ts ignore
 * import { gpu, read, tensor } from "@graft/peft";
 * import { matmul } from "@graft/peft/ops";
 *
 * const backend = await gpu();
 * const x = tensor([[1, 2], [3, 4]], { backend });
 * console.log(await read(matmul(x, x)));
 * backend.close();
 * ```
 *
 * @module
 */
import type { GpuBackend, Profile } from "./backend.ts";
import { type GpuOptions, openDevice } from "./device.ts";
import type { Tally } from "./stream.ts";

export type { GpuBackend, GpuOptions, Profile, Tally };

/**
 * Starts a GPU backend. Needs no permission and no flag.
 *
 * @throws {Error} when there is no WebGPU, no adapter, or an adapter whose limits are too low.
 * @example
 * ```ts
 * import { read, tensor } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * import { gpu } from "@graft/peft/ops/gpu";
 * const backend = await gpu().catch((error: Error) => console.log(error.message)); // without an adapter
 * if (backend) {
 *   assert.deepEqual([...await read(tensor([1, 2], { backend }))], [1, 2]);
 *   backend.close();
 * }
 * ```
 */
export async function gpu(options: GpuOptions = {}): Promise<GpuBackend> {
  const device = await openDevice(options);
  const { backend } = await import("./backend.ts"); // its kernels are a tenth of the library
  return backend(device);
}

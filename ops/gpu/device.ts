/**
 * The adapter, its device, and what can go wrong with them: no adapter, limits too low, device lost, out of
 * memory.
 */

import { SUBGROUP_PROBE } from "./kernels/lanes.ts";
import { failure } from "../../errors/error.ts";

/** How to start the GPU backend. */
export interface GpuOptions {
  /** Which adapter, if there are several; default: the system's choice. */
  readonly power?: "low-power" | "high-performance";
  /**
   * Maximum number of bytes of tensors and pool together; default: what the GPU provides. With a budget,
   * running out of memory is an immediate, clear error.
   */
  readonly memoryBytes?: number;
  /**
   * Maximum number of bytes of one binding; default: the adapter's limit. Larger tensors are bound in parts.
   */
  readonly bindingBytes?: number;
  /**
   * Times every kernel, where the adapter has timestamp queries: each gets a separate compute pass. Default
   * false.
   */
  readonly timed?: boolean;
  /** How products are tiled; default `registers` on a software adapter, `shared` on a GPU. */
  readonly products?: "registers" | "shared";
  /** For which kind of adapter workgroups are sized; default: that of the adapter found. */
  readonly workgroups?: "software" | "card";
  /**
   * Precision of multiplication in products, where the device supports f16; default "f32". Sums are always
   * f32.
   */
  readonly precision?: "f32" | "f16";
  /** Reduce values of a workgroup by subgroup operations, where the device supports them. Default true. */
  readonly subgroups?: boolean;
}

/** An opened device, with the limits that determine the kernels. */
export interface OpenDevice {
  readonly device: GPUDevice;
  /** The adapter's description of itself. */
  readonly description: string;
  readonly software: boolean;
  /** Maximum number of bytes of one binding, and of one buffer. */
  readonly bindingBytes: number;
  readonly bufferBytes: number;
  /** Maximum number of bytes in total, or Infinity. */
  readonly memoryBytes: number;
  readonly products: "registers" | "shared";
  readonly timed: boolean;
  /** Whether products multiply as f16. */
  readonly half: boolean;
  /** Whether there are subgroup operations. */
  readonly subgroups: boolean;
  /** Directives at the start of every module that enable the features in use. */
  readonly directives: string;
  /** @throws {Error} when the device was lost, or an earlier call failed on it. */
  check(): void;
  /** Waits briefly for reports from the device, then checks. */
  ask(): Promise<void>;
  close(): void;
}

/** What the kernels need: the minimum that WebGPU guarantees, so any browser's adapter is sufficient. */
const NEEDED = {
  maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16384,
  maxStorageBufferBindingSize: 2 ** 27,
} as const;

/**
 * What an adapter is called: its description (Deno, Firefox) or, where that is empty (Chrome), its vendor and
 * architecture.
 */
export function adapterName({ description, vendor, architecture }: GPUAdapterInfo): string {
  return description || [vendor, architecture].filter(Boolean).join(" ") || "a nameless adapter";
}

const megabytes = (bytes: number): string =>
  bytes < 2 ** 20 ? `${(bytes / 2 ** 10).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/**
 * Opens the adapter's device with the largest buffers it offers.
 *
 * @throws {Error} when this runtime has no WebGPU, or there is no adapter, or its limits are too low.
 */
export async function openDevice(options: GpuOptions = {}): Promise<OpenDevice> {
  const { gpu } = globalThis.navigator ?? {};
  if (gpu === undefined) {
    throw failure(
      "BACKEND_UNAVAILABLE",
      "Cannot use the gpu backend: this runtime has no WebGPU; use Deno 2 or a browser, or the wasm backend",
    );
  }
  const adapter = await gpu.requestAdapter(options.power ? { powerPreference: options.power } : {});
  if (adapter === null) {
    throw failure(
      "BACKEND_UNAVAILABLE",
      "Cannot use the gpu backend: no adapter was found; install the card's Vulkan driver (or Debian's " +
        "mesa-vulkan-drivers and libvulkan1 for a software adapter), or use the wasm backend",
    );
  }
  for (const [name, needed] of Object.entries(NEEDED) as [keyof typeof NEEDED, number][]) {
    if (adapter.limits[name] < needed) {
      throw failure(
        "BACKEND_UNAVAILABLE",
        `Cannot use the gpu backend: ${adapterName(adapter.info)} has ${name} ${adapter.limits[name]} ` +
          `but ${needed} are needed; use another adapter or the wasm backend`,
      );
    }
  }
  const { limits: { maxStorageBufferBindingSize, maxBufferSize }, info } = adapter;
  const description = adapterName(info);
  const timed = options.timed === true && adapter.features.has("timestamp-query");
  const half = options.precision === "f16";
  if (half && !adapter.features.has("shader-f16")) {
    throw failure(
      "BACKEND_UNAVAILABLE",
      `Cannot use the gpu backend in f16: ${description} has no shader-f16; leave the precision at f32`,
    );
  }
  const request = (features: readonly string[]): Promise<GPUDevice> =>
    adapter.requestDevice({
      requiredFeatures: [
        ...[...timed ? ["timestamp-query" as const] : [], ...half ? ["shader-f16" as const] : []],
        ...features as GPUFeatureName[],
      ],
      requiredLimits: { ...NEEDED, maxStorageBufferBindingSize, maxBufferSize },
    });
  const software = options.workgroups === undefined
    ? info.isFallbackAdapter || /llvmpipe|swiftshader|software/i.test(description)
    : options.workgroups === "software";
  const { device, dialect } = await withSubgroups(request, options.subgroups ?? true);
  return {
    device,
    description,
    software,
    bindingBytes: Math.min(options.bindingBytes ?? Infinity, maxStorageBufferBindingSize),
    bufferBytes: maxBufferSize,
    memoryBytes: options.memoryBytes ?? Infinity,
    timed,
    products: options.products ?? (software ? "registers" : "shared"),
    subgroups: dialect !== undefined,
    half,
    directives: `${half ? "enable f16;\n" : ""}${dialect ?? ""}`,
    ...watched(device),
  };
}

/**
 * How a module declares the use of subgroups: naga (Deno, Firefox) not at all, Tint (Chrome) by directives.
 */
const DIALECTS = ["", "enable subgroups;\nrequires subgroup_id;\n"] as const;

/**
 * A device, with subgroups where it has them and a dialect in which they compile. Deno 2.9 does not list the
 * feature but grants it, so it is requested rather than looked up.
 */
async function withSubgroups(
  request: (features: readonly string[]) => Promise<GPUDevice>,
  wanted: boolean,
): Promise<{ readonly device: GPUDevice; readonly dialect?: string }> {
  if (!wanted) return { device: await request([]) };
  let device: GPUDevice;
  try {
    device = await request(["subgroups"]);
  } catch {
    return { device: await request([]) };
  }
  for (const dialect of DIALECTS) {
    device.pushErrorScope("validation");
    device.createShaderModule({ code: dialect + SUBGROUP_PROBE });
    if (await device.popErrorScope() === null) return { device, dialect };
  }
  return { device };
}

/** Remembers the first failure that the device reports, so that the next call can throw it. */
function watched(device: GPUDevice): Pick<OpenDevice, "check" | "ask" | "close"> {
  let broken: Error | undefined;
  let closed = false;
  device.addEventListener("uncapturederror", (event) => {
    event.preventDefault();
    const { error } = event as GPUUncapturedErrorEvent;
    broken ??= error instanceof GPUOutOfMemoryError
      ? failure(
        "OUT_OF_MEMORY",
        "The GPU ran out of memory: use a quantized base, a smaller batch or checkpointBlocks, or the wasm " +
          `backend (${error.message || "no details"})`,
      )
      : failure("BACKEND_FAILED", `The GPU refused a call: ${error.message}`);
  });
  device.lost.then(({ reason, message }) => {
    broken ??= failure(
      "BACKEND_FAILED",
      `The GPU device was lost (${reason || "unknown"}: ${message || "no details"}): its tensors are gone; ` +
        "call gpu() again and load anew",
    );
  });
  const check = (): void => {
    if (closed) throw failure("FREED", "Cannot use this gpu backend: it was closed");
    if (broken !== undefined) throw broken;
  };
  return {
    check,
    async ask(): Promise<void> {
      let timer: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([device.lost, new Promise((resolve) => timer = setTimeout(resolve, 200))]);
      clearTimeout(timer);
      check();
    },
    close(): void {
      closed = true;
      device.destroy();
    },
  };
}

/** The message when bytes do not fit. */
export function outOfMemory(asked: number, held: number, limit: number, what: string): Error {
  return failure(
    "OUT_OF_MEMORY",
    `Cannot allocate ${megabytes(asked)} on the GPU: ${megabytes(held)} are held and ${what} is ` +
      `${megabytes(limit)}; use a quantized base, a smaller batch or the wasm backend`,
  );
}

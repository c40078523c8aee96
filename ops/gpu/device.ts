/** The adapter, its device, and what can go wrong with them: none there, limits too low, lost, out of memory. */

/** How to start the GPU backend. */
export interface GpuOptions {
  /** Which adapter, where there are several; default the system's choice. */
  readonly power?: "low-power" | "high-performance";
  /** Most bytes of tensors and pool together; default what the card gives. A budget makes running out a plain error at once. */
  readonly memoryBytes?: number;
  /** Most bytes of one binding; default the adapter's limit. Larger tensors are bound in parts. */
  readonly bindingBytes?: number;
  /** Times every kernel, where the adapter has timestamp queries: each gets a pass of its own. Default false. */
  readonly timed?: boolean;
  /** How products are tiled; default `registers` on a software adapter, `shared` on a card. */
  readonly products?: "registers" | "shared";
}

/** An opened device, with the numbers that kernels are shaped by. */
export interface OpenDevice {
  readonly device: GPUDevice;
  /** The adapter's own words. */
  readonly description: string;
  readonly software: boolean;
  /** Most bytes of one binding, and of one buffer. */
  readonly bindingBytes: number;
  readonly bufferBytes: number;
  /** Most bytes in all, or Infinity. */
  readonly memoryBytes: number;
  readonly products: "registers" | "shared";
  readonly timed: boolean;
  /** @throws {Error} when the device was lost, or an earlier call failed on it. */
  check(): void;
  /** Waits a moment for news of the device, then checks. */
  ask(): Promise<void>;
  close(): void;
}

/** What the kernels need: the least that WebGPU promises, so any adapter of a browser will do. */
const NEEDED = {
  maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16384,
  maxStorageBufferBindingSize: 2 ** 27,
} as const;

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/**
 * Opens the adapter's device with the largest buffers it offers.
 *
 * @throws {Error} when this runtime has no WebGPU, or there is no adapter, or its limits are too low.
 */
export async function openDevice(options: GpuOptions = {}): Promise<OpenDevice> {
  const { gpu } = globalThis.navigator ?? {};
  if (gpu === undefined) {
    throw new Error(
      "Cannot use the gpu backend: this runtime has no WebGPU; use Deno 2 or a browser, or the wasm backend",
    );
  }
  const adapter = await gpu.requestAdapter(options.power ? { powerPreference: options.power } : {});
  if (adapter === null) {
    throw new Error(
      "Cannot use the gpu backend: no adapter was found; install the card's Vulkan driver (or Debian's " +
        "mesa-vulkan-drivers and libvulkan1 for a software adapter), or use the wasm backend",
    );
  }
  for (const [name, needed] of Object.entries(NEEDED) as [keyof typeof NEEDED, number][]) {
    if (adapter.limits[name] < needed) {
      throw new Error(
        `Cannot use the gpu backend: ${adapter.info.description} has ${name} ${adapter.limits[name]} ` +
          `but ${needed} are needed; use another adapter or the wasm backend`,
      );
    }
  }
  const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
  const timed = options.timed === true && adapter.features.has("timestamp-query");
  const device = await adapter.requestDevice({
    requiredFeatures: timed ? ["timestamp-query"] : [],
    requiredLimits: { ...NEEDED, maxStorageBufferBindingSize, maxBufferSize },
  });
  const { info } = adapter;
  const software = info.isFallbackAdapter || /llvmpipe|swiftshader|software/i.test(info.description);
  return {
    device,
    description: info.description,
    software,
    bindingBytes: Math.min(options.bindingBytes ?? Infinity, maxStorageBufferBindingSize),
    bufferBytes: maxBufferSize,
    memoryBytes: options.memoryBytes ?? Infinity,
    timed,
    products: options.products ?? (software ? "registers" : "shared"),
    ...watched(device),
  };
}

/** Remembers the first failure that the device reports, so that the next call can throw it. */
function watched(device: GPUDevice): Pick<OpenDevice, "check" | "ask" | "close"> {
  let failure: Error | undefined;
  let closed = false;
  device.addEventListener("uncapturederror", (event) => {
    event.preventDefault();
    const { error } = event as GPUUncapturedErrorEvent;
    failure ??= error instanceof GPUOutOfMemoryError
      ? new Error(
        "The GPU ran out of memory: use a quantized base, a smaller batch or checkpointBlocks, or the wasm " +
          `backend (${error.message || "no details"})`,
      )
      : new Error(`The GPU refused a call: ${error.message}`);
  });
  device.lost.then(({ reason, message }) => {
    failure ??= new Error(
      `The GPU device was lost (${reason || "unknown"}: ${message || "no details"}): its tensors are gone; ` +
        "call gpu() again and load anew",
    );
  });
  const check = (): void => {
    if (closed) throw new Error("Cannot use this gpu backend: it was closed");
    if (failure !== undefined) throw failure;
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
  return new Error(
    `Cannot allocate ${megabytes(asked)} on the GPU: ${megabytes(held)} are held and ${what} is ` +
      `${megabytes(limit)}; use a quantized base, a smaller batch or the wasm backend`,
  );
}

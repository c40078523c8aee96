/**
 * A running copy of the kernels in WebAssembly: the single-thread build, or the threaded one with its workers. Loading needs no
 * permission: the module comes by a source-phase import and workers start from a `data:` URL.
 */
import type * as Exports from "./lib/single_bg.wasm.d.ts";

/** The crate's exports. Those that return an address or a size give a signed word: `>>> 0` makes it whole. */
type Exported = typeof Exports;

/** The kernels: exports that compute. */
export type Kernels = Omit<
  Exported,
  | "memory"
  | "allocate"
  | "release"
  | "scratch_bytes"
  | "run_worker"
  | "worker_failed"
  | "worker_count"
  | "stop_workers"
  | "tile_peak"
  | "__wbindgen_externrefs"
  | "__wbindgen_start"
>;

/** Kernels, the memory they work on and the threads that they run on. */
export interface Machine {
  readonly kernels: Kernels;
  /** Bytes that the memory can hold; absent where only the machine limits it. */
  readonly capacity?: number;
  /** Most bytes that may be asked for at once. */
  readonly largest: number;
  /** What the machine is, in words for errors: "a WASM memory has 4096.0 MiB". */
  readonly limit: string;
  /** Threads that take part, the caller's included. */
  readonly threads: number;
  /** Address of `bytes` bytes at a multiple of 64, or 0 when there is no room. */
  allocate(bytes: number): number;
  /** Gives back what `allocate(bytes)` gave. */
  release(pointer: number, bytes: number): void;
  /** Bytes in memory, as a view that must not outlive a call that allocates. */
  view(pointer: number, bytes: number): Uint8Array<ArrayBufferLike>;
  /** Bytes of a word, as wide as an address. */
  readonly wordBytes: 4 | 8;
  /** Writes whole numbers as words. */
  write(pointer: number, values: ArrayLike<number>): void;
  /** Bytes that the kernels keep for themselves. */
  scratch(): number;
  stop(): void;
}

/** A machine over an instance and its memory. */
function machine(exported: Exported, memory: WebAssembly.Memory, threads: number, stop: () => void): Machine {
  return {
    kernels: exported,
    capacity: CAPACITY,
    largest: 2 ** 31 - 1, // an address difference is a signed word
    limit: "a WASM memory has 4096.0 MiB",
    threads,
    allocate: (bytes) => exported.allocate(bytes) >>> 0,
    release: (pointer, bytes) => exported.release(pointer, bytes),
    view: (pointer, bytes) => new Uint8Array(memory.buffer, pointer, bytes),
    wordBytes: 4,
    write: (pointer, values) => new Uint32Array(memory.buffer, pointer, values.length).set(values),
    scratch: () => exported.scratch_bytes() >>> 0,
    stop,
  };
}

/** Stack of a worker in bytes; the caller's is set at build time. */
const STACK = 1 << 20;
/** 4 MiB to begin with (the build wants a little over 1) and 4 GiB at most: what a 32-bit address reaches. */
const PAGES = { initial: 64, maximum: 65_536 } as const;
const CAPACITY = 65_536 * PAGES.maximum;
/** How long a worker may take to come up, in milliseconds. */
const PATIENCE = 20_000;

/** Everything that a module imports: its memory where it asks for one. The rest serves JavaScript values, of which there are none. */
const link = `(module, memory) => {
  const imports = {};
  for (const entry of WebAssembly.Module.imports(module)) {
    (imports[entry.module] ??= {})[entry.name] = entry.kind === "memory" ? memory : () => {};
  }
  return new WebAssembly.Instance(module, imports).exports;
}`;

/** What a worker does with its data. The caller, who waits inside a kernel, hears of its end from the kernels alone. */
const WORK = `({ module, memory, thread, stack }) => {
  const kernels = (${link})(module, memory);
  kernels.__wbindgen_start(stack);
  try {
    kernels.run_worker(thread);
  } catch (error) {
    kernels.worker_failed();
    throw error;
  }
}`;

/** Starts the kernels on the calling thread alone. */
export async function startSingle(): Promise<Machine> {
  const { module } = await import("./lib/single.js");
  const kernels = instantiate(module, undefined);
  kernels.__wbindgen_start();
  return machine(kernels, kernels.memory, 1, () => {});
}

/**
 * Starts the kernels on the calling thread and `threads − 1` workers.
 *
 * @throws {Error} when a worker does not come up.
 */
export async function startThreaded(threads: number): Promise<Machine> {
  const { module } = await import("./lib/threaded.js");
  const { startWorker } = await import("./worker.ts");
  const memory = new WebAssembly.Memory({ ...PAGES, shared: true });
  const kernels = instantiate(module, memory);
  (kernels.__wbindgen_start as (stack?: number) => void)(); // the caller's stack is the module's own
  const failures: unknown[] = [];
  const workers = Array.from(
    { length: threads - 1 },
    (_, i) =>
      startWorker(WORK, { module, memory, thread: i + 1, stack: STACK }, (error) => failures.push(error)),
  );
  const stop = (): void => {
    kernels.stop_workers();
    for (const worker of workers) worker.end();
  };
  const start = performance.now();
  while (kernels.worker_count() < workers.length) {
    if (failures.length > 0 || performance.now() - start > PATIENCE) {
      const up = kernels.worker_count();
      stop();
      throw new Error(`Cannot start ${workers.length} workers: ${up} came up; try { threads: 1 }`, {
        cause: failures[0],
      });
    }
    await new Promise((done) => setTimeout(done, 1));
  }
  return machine(kernels, memory, threads, stop);
}

function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory | undefined): Exported {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const entry of WebAssembly.Module.imports(module)) {
    (imports[entry.module] ??= {})[entry.name] = entry.kind === "memory" ? memory! : () => {};
  }
  return new WebAssembly.Instance(module, imports).exports as Exported;
}

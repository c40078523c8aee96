/**
 * A running copy of the kernels in WebAssembly: the single-thread build, or the threaded one with its
 * workers. Loading needs no permission: the module is text that is imported, and workers are started from a
 * `data:` URL.
 */
import type * as Exports from "./lib/single_bg.wasm.d.ts";
import record from "./lib/SOURCE_HASH.json" with { type: "json" };
import { failure } from "../../errors/error.ts";

/**
 * The crate's exports. Those that return an address or a size return a signed word: `>>> 0` makes it
 * unsigned.
 */
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

/** Kernels, their memory and their threads. */
export interface Machine {
  readonly kernels: Kernels;
  /** The build's name, see `Backend.kernels`: the first 8 digits of the hash of its sources, and what else tells builds apart. */
  readonly build: string;
  /** Bytes that the memory can hold; absent where only the machine limits it. */
  readonly capacity?: number;
  /** Maximum number of bytes in one request. */
  readonly largest: number;
  /** Description of the machine for error messages: "a WASM memory has 4096.0 MiB". */
  readonly limit: string;
  /** Number of threads, including the caller's. */
  readonly threads: number;
  /** Address of `bytes` bytes at a multiple of 64, or 0 when memory is exhausted. */
  allocate(bytes: number): number;
  /** Releases the result of `allocate(bytes)`. */
  release(pointer: number, bytes: number): void;
  /** Bytes in memory, as a view that must not outlive a call that allocates. */
  view(pointer: number, bytes: number): Uint8Array<ArrayBufferLike>;
  /** Bytes of a word, as wide as an address. */
  readonly wordBytes: 4 | 8;
  /** Writes integers as words. */
  write(pointer: number, values: ArrayLike<number>): void;
  /** Bytes of the kernels' scratch memory. */
  scratch(): number;
  stop(): void;
}

/** A machine over an instance and its memory. */
function machine(exported: Exported, memory: WebAssembly.Memory, threads: number, stop: () => void): Machine {
  return {
    kernels: exported,
    build: record.sources.slice(0, 8),
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
/** Initially 4 MiB (the build needs a little over 1) and at most 4 GiB: the range of a 32-bit address. */
const PAGES = { initial: 64, maximum: 65_536 } as const;
const CAPACITY = 65_536 * PAGES.maximum;
/** Time limit for a worker to start, in milliseconds. */
const PATIENCE = 20_000;

/**
 * All imports of a module: its memory if it imports one. The rest serves JavaScript values, which are not
 * used.
 */
const link = `(module, memory) => {
  const imports = {};
  for (const entry of WebAssembly.Module.imports(module)) {
    (imports[entry.module] ??= {})[entry.name] = entry.kind === "memory" ? memory : () => {};
  }
  return new WebAssembly.Instance(module, imports).exports;
}`;

/** The code of a worker. The caller, waiting inside a kernel, is notified of its end only by the kernels. */
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
  const { module } = await import("./lib/single.ts");
  const kernels = instantiate(module, undefined);
  kernels.__wbindgen_start();
  return machine(kernels, kernels.memory, 1, () => {});
}

/**
 * Starts the kernels on the calling thread and `threads − 1` workers.
 *
 * @throws {Error} when a worker does not start.
 */
export async function startThreaded(threads: number): Promise<Machine> {
  const { startWorker } = await import("../../platform/worker.ts");
  const failures: unknown[] = [];
  // Threads start while the module is compiled.
  const workers = Array.from(
    { length: threads - 1 },
    () => startWorker(WORK, (error) => failures.push(error)),
  );
  const end = (): void => workers.forEach((worker) => worker.end());
  const { module } = await import("./lib/threaded.ts").catch((error) => {
    end();
    throw error;
  });
  const memory = new WebAssembly.Memory({ ...PAGES, shared: true });
  const kernels = instantiate(module, memory);
  (kernels.__wbindgen_start as (stack?: number) => void)(); // the caller's stack is the module's own
  workers.forEach((worker, i) => worker.send({ module, memory, thread: i + 1, stack: STACK }));
  const stop = (): void => {
    kernels.stop_workers();
    end();
  };
  const start = performance.now();
  while (kernels.worker_count() < workers.length) {
    if (failures.length > 0 || performance.now() - start > PATIENCE) {
      const up = kernels.worker_count();
      stop();
      const why = failures[0] instanceof Error ? ` (${failures[0].message})` : "";
      throw failure(
        "BACKEND_FAILED",
        `Cannot start ${workers.length} workers: ${up} came up${why}; try { threads: 1 }`,
        { cause: failures[0] },
      );
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

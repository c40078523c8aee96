/**
 * Timestamps around kernels: a pair of queries per call, resolved at the end of a batch, summed by kernel
 * when they arrive.
 */

/** Measures the time of calls. */
export interface Timer {
  /** The timestamp writes of a pass, for the next call of a kernel with this name. */
  next(name: string): GPUComputePassTimestampWrites;
  full(): boolean;
  /**
   * Records the resolution of the queries before the batch is submitted; the result fetches them afterwards.
   */
  resolve(encoder: GPUCommandEncoder): () => void;
  /** Waits for pending fetches. */
  settled(): Promise<void>;
  /** Nanoseconds so far, by kernel. */
  times(): ReadonlyMap<string, number>;
}

const PAIRS = 2048;

/** A timer over a device with timestamp queries. */
export function timer(device: GPUDevice): Timer {
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 * PAIRS });
  const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
  const resolved = device.createBuffer({ size: 16 * PAIRS, usage });
  const times = new Map<string, number>();
  const pending: Promise<void>[] = [];
  let names: string[] = [];

  const fetched = async (reader: GPUBuffer, called: readonly string[]): Promise<void> => {
    await reader.mapAsync(GPUMapMode.READ);
    const stamps = new BigUint64Array(reader.getMappedRange());
    called.forEach((name, i) => {
      const nanoseconds = Number(stamps[2 * i + 1]! - stamps[2 * i]!);
      times.set(name, (times.get(name) ?? 0) + nanoseconds);
    });
    reader.destroy();
  };
  return {
    next(name): GPUComputePassTimestampWrites {
      const at = 2 * names.length;
      names.push(name);
      return { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
    },
    full: () => names.length >= PAIRS,
    resolve(encoder): () => void {
      const called = names;
      names = [];
      if (called.length === 0) return () => {};
      const size = 16 * called.length;
      const reader = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      encoder.resolveQuerySet(querySet, 0, 2 * called.length, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, reader, 0, size);
      return () => pending.push(fetched(reader, called));
    },
    async settled(): Promise<void> {
      await Promise.all(pending.splice(0));
    },
    times: () => times,
  };
}

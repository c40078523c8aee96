/**
 * Memory of the backend's storages: blocks in size classes, kept for reuse when released. With sixteen
 * classes per octave (at most 6 % unused) the blocks of one training step fit the next, so a loop does not
 * fragment memory. Kept blocks never raise memory use above the peak of live bytes: before that they are
 * returned to the crate's allocator, which merges free neighbours.
 */
import type { Machine } from "./machine.ts";
import { failure } from "../../errors/error.ts";

/** The location of a storage. `pointer` becomes 0 when it is released. */
export interface Block {
  pointer: number;
}

/** Bytes allocated for a request of `bytes`. */
export function sizeClass(bytes: number): number {
  if (bytes <= 1024) return Math.max(64, Math.ceil(bytes / 64) * 64);
  const step = 2 ** (Math.floor(Math.log2(bytes)) - 4);
  return Math.ceil(bytes / step) * step;
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Blocks over a machine's memory. */
export interface Arena {
  allocate(bytes: number): Block;
  release(block: Block, bytes: number): void;
  /** Bytes in blocks kept for reuse. */
  pooled(): number;
  /** Runs `f` with a temporary block. */
  borrow<T>(bytes: number, f: (pointer: number) => T): T;
}

/** An arena over a machine's memory. */
export function arena(machine: () => Machine): Arena {
  const kept = new Map<number, number[]>();
  let pooled = 0;
  let held = 0;
  let most = 0;

  const take = (size: number): number => {
    const pointer = kept.get(size)?.pop();
    if (pointer === undefined) return machine().allocate(size);
    pooled -= size;
    return pointer;
  };
  const trim = (): void => {
    for (const [size, pointers] of kept) {
      for (const pointer of pointers) machine().release(pointer, size);
    }
    kept.clear();
    pooled = 0;
  };
  const obtain = (bytes: number): number => {
    machine(); // throws when closed, even if a kept block would do
    const size = sizeClass(bytes);
    most = Math.max(most, held + size);
    // Steps of varying lengths would keep ever more blocks: live and kept bytes together must not exceed the
    // peak of live bytes.
    if (!kept.get(size)?.length && held + pooled + size > most) trim();
    const valid = size <= machine().largest;
    let pointer = valid ? take(size) : 0;
    if (pointer === 0 && valid && pooled > 0) {
      trim();
      pointer = take(size);
    }
    if (pointer === 0) {
      throw failure(
        "OUT_OF_MEMORY",
        `Cannot allocate ${megabytes(bytes)}: ${megabytes(held)} are held and ${machine().limit}; ` +
          "release tensors, or use a quantized base or a smaller batch",
      );
    }
    held += size;
    return pointer;
  };
  const give = (pointer: number, bytes: number): void => {
    const size = sizeClass(bytes);
    const list = kept.get(size);
    if (list) list.push(pointer);
    else kept.set(size, [pointer]);
    pooled += size;
    held -= size;
  };
  return {
    allocate: (bytes) => ({ pointer: obtain(bytes) }),
    release(block, bytes): void {
      if (block.pointer === 0) throw failure("FREED", `Cannot release ${bytes} bytes twice`);
      give(block.pointer, bytes);
      block.pointer = 0;
    },
    pooled: () => pooled,
    borrow(bytes, f) {
      const pointer = obtain(bytes);
      try {
        return f(pointer);
      } finally {
        give(pointer, bytes);
      }
    },
  };
}

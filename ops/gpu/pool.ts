/**
 * Buffers, kept for reuse when released. With eight size classes per octave (at most 12 % unused) the buffers
 * of one training step fit the next. A buffer may be reused while earlier commands still use it: commands run
 * in order.
 */
import { type OpenDevice, outOfMemory } from "./device.ts";

/** A buffer. `touched` is the last batch of commands that used it. */
export interface Block {
  readonly buffer: GPUBuffer;
  readonly bytes: number;
  /** Identifies it in keys of bind groups. */
  readonly id: number;
  touched: number;
}

/** Buffers by size. */
export interface Pool {
  take(bytes: number): Block;
  give(block: Block): void;
  /** Bytes in kept buffers, and in buffers in use. */
  pooled(): number;
  held(): number;
  /** Destroys every buffer, kept or in use. */
  destroy(): void;
}

/** Size of the buffer for a request: a multiple of 64, so that vectors of four fit and copies are aligned. */
export function bufferBytes(bytes: number): number {
  const step = Math.max(64, 2 ** (Math.floor(Math.log2(Math.max(bytes, 1))) - 3));
  return Math.max(64, Math.ceil(bytes / step) * step);
}

/** Kept bytes beyond which buffers are destroyed, relative to the bytes in use. */
const KEPT = 2;
const KEPT_AT_LEAST = 2 ** 28;

/**
 * A pool over a device. `trimmed` is called before buffers are destroyed, and must submit the commands that
 * use them.
 */
export function pool({ device, bufferBytes: most, memoryBytes }: OpenDevice, trimmed: () => void): Pool {
  const kept = new Map<number, Block[]>();
  const all = new Set<Block>();
  let [pooled, held, made] = [0, 0, 0];

  const trim = (): void => {
    trimmed();
    for (const blocks of kept.values()) {
      for (const block of blocks) {
        block.buffer.destroy();
        all.delete(block);
      }
    }
    kept.clear();
    pooled = 0;
  };
  return {
    take(bytes: number): Block {
      const size = Math.min(bufferBytes(bytes), Math.max(most - most % 64, bytes));
      if (size > most) throw outOfMemory(bytes, held, most, "the largest buffer of this adapter");
      let block = kept.get(size)?.pop();
      if (block === undefined) {
        if (held + pooled + size > memoryBytes) trim();
        if (held + size > memoryBytes) throw outOfMemory(bytes, held, memoryBytes, "the budget");
        const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
        block = { buffer: device.createBuffer({ size, usage }), bytes: size, id: ++made, touched: -1 };
        all.add(block);
      } else pooled -= size;
      held += size;
      return block;
    },
    give(block: Block): void {
      const list = kept.get(block.bytes);
      if (list) list.push(block);
      else kept.set(block.bytes, [block]);
      pooled += block.bytes;
      held -= block.bytes;
      if (pooled > Math.max(KEPT * held, KEPT_AT_LEAST)) trim();
    },
    pooled: () => pooled,
    held: () => held,
    destroy(): void {
      for (const { buffer } of all) buffer.destroy();
      all.clear();
      kept.clear();
      [pooled, held] = [0, 0];
    },
  };
}

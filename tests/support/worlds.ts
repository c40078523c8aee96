/** Worlds of several ranks within one process: what one sends waits until another asks for it. */
import type { World } from "../../train/mod.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A queue for each pair of ranks: whoever comes first, sender or receiver, waits. */
function mailbox(): { put(bytes: Bytes): void; take(): Promise<Bytes> } {
  const full: Bytes[] = [];
  const waiting: ((bytes: Bytes) => void)[] = [];
  return {
    put: (bytes) => {
      const copy = bytes.slice();
      const next = waiting.shift();
      if (next === undefined) full.push(copy);
      else next(copy);
    },
    take: () => {
      const next = full.shift();
      return next === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(next);
    },
  };
}

/** The worlds of n ranks, to be used at the same time. */
export function worldsOf(size: number): readonly World[] {
  const boxes = Array.from({ length: size }, () => Array.from({ length: size }, mailbox));
  return Array.from({ length: size }, (_, rank): World => {
    const others = Array.from({ length: size }, (_, r) => r).filter((r) => r !== rank);
    const send = (to: number, bytes: Bytes): Promise<void> => Promise.resolve(boxes[rank]![to]!.put(bytes));
    const receive = async (from: number, into: Bytes): Promise<void> => {
      const bytes = await boxes[from]![rank]!.take();
      if (bytes.length !== into.length) throw new Error(`${bytes.length} bytes came for ${into.length}`);
      into.set(bytes);
    };
    return {
      rank,
      size,
      send,
      receive,
      broadcast: async (from, bytes) => {
        if (from === rank) { for (const to of others) await send(to, bytes); }
        else await receive(from, bytes);
      },
      gather: async (own) => {
        for (const to of others) await send(to, own);
        const all: Bytes[] = [];
        for (let from = 0; from < size; from++) {
          all.push(from === rank ? own : await boxes[from]![rank]!.take());
        }
        return all;
      },
    };
  });
}

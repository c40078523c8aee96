/** How long a backend takes for calls of kernels, measured on numbers that mean nothing. */
import type { Backend, Operand, Raw } from "../tensor/mod.ts";
import type { CallCounts, KernelCall } from "./recording.ts";

/** Seconds of one call, by signature. */
export type CallSeconds = ReadonlyMap<string, number>;

/** Every byte of a measured float: 0x3c is 0.01 in f32, 1 in f16, and a finite weight in every quantized layout. */
const ORDINARY = 0x3c;

/** A measurement shorter than this, in seconds, is repeated. */
const SHORT = 0.02;
/** Most calls of one measurement. */
const MOST_CALLS = 256;

/**
 * Measures each kind of call that is not known yet: once to load and compile what it needs, and then as often as it takes to
 * know.
 *
 * @returns What was known, and what was measured.
 */
export async function timeCalls(
  backend: Backend,
  calls: CallCounts,
  known: CallSeconds = new Map(),
): Promise<CallSeconds> {
  const missing = [...calls].filter(([signature]) => !known.has(signature));
  if (missing.length === 0) return known;
  const found = new Map(known);
  const wait = await waitOf(backend);
  for (const [signature, { call }] of missing) found.set(signature, await secondsOf(backend, call, wait));
  return found;
}

/** The seconds of calls together. @throws {Error} when one of them was not measured. */
export function secondsOfAll(calls: CallCounts, seconds: CallSeconds): number {
  return [...calls].reduce((sum, [signature, { count }]) => sum + count * seconds.get(signature)!, 0);
}

/** The seconds that a read takes where nothing is to be computed: on a GPU it waits for the device. */
async function waitOf(backend: Backend): Promise<number> {
  const raw = backend.allocate(4);
  backend.upload(raw, new Uint8Array(4));
  await backend.download(raw, 4);
  const start = performance.now();
  for (let i = 0; i < 3; i++) await backend.download(raw, 4);
  const seconds = (performance.now() - start) / 3000;
  backend.release(raw, 4);
  return seconds;
}

async function secondsOf(backend: Backend, call: KernelCall, wait: number): Promise<number> {
  const sizes = call.storages.map((bytes) => Math.max(4, bytes));
  const raws: Raw[] = [];
  try {
    for (const bytes of sizes) raws.push(backend.allocate(bytes));
    const filled = new Set<number>();
    const args = call.arguments(({ storage, shape, dtype }): Operand => {
      const raw = raws[storage];
      if (!filled.has(storage)) {
        filled.add(storage);
        // Integers are places in a table: all are the first.
        backend.upload(raw, new Uint8Array(sizes[storage]!).fill(dtype === "i32" ? 0 : ORDINARY));
      }
      return { raw, shape, dtype };
    });
    const kernel = (backend[call.kernel] as (...args: readonly unknown[]) => void).bind(backend);
    const last = raws.at(-1);
    const take = async (times: number): Promise<number> => {
      const start = performance.now();
      for (let i = 0; i < times; i++) kernel(...args);
      await backend.download(last, 4);
      return Math.max(0, (performance.now() - start) / 1000 - wait);
    };
    await take(1);
    for (let times = 1;; times *= 4) {
      const seconds = await take(times);
      if (seconds >= SHORT || times >= MOST_CALLS) return seconds / times;
    }
  } finally {
    raws.forEach((raw, i) => backend.release(raw, sizes[i]!));
  }
}

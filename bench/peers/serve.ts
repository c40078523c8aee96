/** The peer protocol's other side, in TypeScript: announces versions, runs `work` for each line, prints its time. */
import { readFileSync } from "node:fs";

/** Versions of this project's peers. */
export const VERSIONS: Readonly<Record<string, string>> = {
  graft: "0.1.0",
  deno: Deno.version.deno,
  v8: Deno.version.v8,
};

/**
 * See the module comment. A reading is the time of `times` runs (default 1), divided by `times`, and a number
 * of bytes: by default the peak resident memory.
 */
export async function servePeer(
  versions: Readonly<Record<string, string>>,
  work: () => Promise<void> | void,
  times = 1,
  peakBytes: () => number = peakResident,
): Promise<void> {
  await serveReadings(versions, async () => {
    const start = performance.now();
    for (let i = 0; i < times; i++) await work();
    return { milliseconds: (performance.now() - start) / times, peakBytes: peakBytes() };
  });
}

/** The same for work that measures itself. */
export async function serveReadings(
  versions: Readonly<Record<string, string>>,
  work: () => Promise<{ readonly milliseconds: number; readonly peakBytes: number }>,
): Promise<void> {
  console.log(JSON.stringify(versions));
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    for (const _ of text.trim().split("\n")) console.log(JSON.stringify(await work()));
  }
}

/** Peak resident set of this process, as reported by Linux. */
export function peakResident(): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}

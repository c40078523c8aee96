/** The peer protocol's other side, in TypeScript: announces versions, runs `work` for each line, prints its time. */
import { readFileSync } from "node:fs";

/** See the module comment. */
export async function servePeer(
  versions: Readonly<Record<string, string>>,
  work: () => Promise<void>,
): Promise<void> {
  console.log(JSON.stringify(versions));
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    for (const _ of text.trim().split("\n")) {
      const start = performance.now();
      await work();
      console.log(JSON.stringify({ milliseconds: performance.now() - start, peakBytes: peakResident() }));
    }
  }
}

/** Peak resident set of this process, as Linux keeps it. */
function peakResident(): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(line?.[1] ?? 0) * 1024;
}

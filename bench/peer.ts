/**
 * A peer: a process that prepares, then runs its work once for every line it reads and answers with one line
 * of JSON.
 */

/** One run's figures, in milliseconds and bytes. */
export interface Reading {
  readonly milliseconds: number;
  /** Largest resident set so far. */
  readonly peakBytes: number;
}

/** A started peer. */
export interface Peer {
  readonly name: string;
  readonly versions: Readonly<Record<string, string>>;
  run(): Promise<Reading>;
  stop(): Promise<void>;
}

/** Starts a peer's command and waits until it is ready. @throws {Error} with its error output when it fails. */
export async function startPeer(
  name: string,
  command: readonly string[],
  env: Record<string, string> = {},
): Promise<Peer> {
  const process = new Deno.Command(command[0]!, {
    args: command.slice(1),
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const errors = new Response(process.stderr).text();
  const lines = linesOf(process.stdout);
  const writer = process.stdin.getWriter();
  const answer = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done) {
      throw new Error(`The peer ${name} stopped: ${reason(await errors)}`);
    }
    return JSON.parse(value);
  };
  const versions = await answer() as Record<string, string>;
  return {
    name,
    versions,
    run: async () => {
      await writer.write(new TextEncoder().encode("run\n"));
      return await answer() as Reading;
    },
    stop: async () => {
      await writer.close();
      await process.status;
    },
  };
}

/** The most informative line of an error output: the first that names an error, else the last. */
function reason(errors: string): string {
  const lines = errors.trim().split("\n");
  return (lines.find((line) => line.includes("Error:")) ?? lines.at(-1)!).trim();
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string, void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    for (const line of parts) if (line.startsWith("{")) yield line;
  }
}

/** Runs peers in turn, `repetitions` times after `warmUp` uncounted rounds. */
export async function interleave(
  peers: readonly Peer[],
  { repetitions, warmUp }: { readonly repetitions: number; readonly warmUp: number },
): Promise<ReadonlyMap<string, readonly Reading[]>> {
  const readings = new Map<string, Reading[]>(peers.map((peer) => [peer.name, []]));
  for (let round = 0; round < warmUp + repetitions; round++) {
    for (const peer of peers) {
      const reading = await peer.run();
      if (round >= warmUp) readings.get(peer.name)!.push(reading);
    }
  }
  return readings;
}

/** Median and interquartile range. */
export function summary(
  values: readonly number[],
): { readonly median: number; readonly low: number; readonly high: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number): number => sorted[Math.round(q * (sorted.length - 1))]!;
  return { median: at(0.5), low: at(0.25), high: at(0.75) };
}

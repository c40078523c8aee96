/**
 * `deno task bench [ROW…]`: this project and its peers side by side. Every figure is a ratio of interleaved
 * runs on this machine, with its spread; times are shown only for context. Writes bench/results.json, where
 * rows that did not run keep their last result.
 */
import { interleave, type Peer, type Reading, summary } from "./peer.ts";
import type { PeerCommand, Row } from "./row.ts";
import { ROWS } from "./rows/mod.ts";

/** The result of a row. */
interface Result {
  readonly row: string;
  readonly what: string;
  readonly cpu: string;
  readonly cores: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly milliseconds: number;
  readonly peers: readonly Record<string, unknown>[];
}

const cpu = /model name\s*: (.*)/.exec(await Deno.readTextFile("/proc/cpuinfo"))?.[1] ?? "unknown";
const resultsFile = new URL("results.json", import.meta.url);

/** Starts the available peers: one that is not installed is reported and skipped. */
async function start(row: Row): Promise<readonly (readonly [PeerCommand, Peer])[]> {
  const started: [PeerCommand, Peer][] = [];
  for (const command of row.peers) {
    try {
      started.push([command, await command.start()]);
    } catch (error) {
      if (started.length === 0) throw error; // without our own peer there is no row
      console.log(`  without ${command.name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return started;
}

async function measure(row: Row): Promise<Result> {
  console.log(`\n${row.name}: ${row.what}`);
  const started = await start(row);
  const readings = await interleave(started.map(([, peer]) => peer), row);
  const [[, ours], ...others] = started as [readonly [PeerCommand, Peer], ...[PeerCommand, Peer][]];
  const own = readings.get(ours.name)!;
  const peers = others.map(([command, peer]) => compare(own, readings.get(peer.name)!, command, peer));
  for (const [, peer] of started) await peer.stop();
  const milliseconds = median(own);
  if (others.length === 0) console.log(`  ${milliseconds.toPrecision(3)} ms`);
  return {
    row: row.name,
    what: row.what,
    cpu,
    cores: navigator.hardwareConcurrency,
    versions: ours.versions,
    milliseconds,
    peers,
  };
}

const median = (runs: readonly Reading[]): number => summary(runs.map((run) => run.milliseconds)).median;
const peak = (runs: readonly Reading[]): number => Math.max(...runs.map((run) => run.peakBytes));
const verdict = (value: number, target: number | undefined): string =>
  target === undefined ? "" : `, target ${target.toFixed(2)}${value <= target ? "" : ": NOT MET"}`;

function compare(
  own: readonly Reading[],
  runs: readonly Reading[],
  command: PeerCommand,
  peer: Peer,
): Record<string, unknown> {
  const time = summary(own.map((run, i) => run.milliseconds / runs[i]!.milliseconds));
  const memory = peak(own) / peak(runs);
  console.log(
    `  to ${peer.name}: time ${time.median.toFixed(2)} (${time.low.toFixed(2)}–${time.high.toFixed(2)})` +
      `${verdict(time.median, command.time)}; peak memory ${memory.toFixed(2)}${
        verdict(memory, command.memory)
      }   [${median(own).toPrecision(3)} ms, ${median(runs).toPrecision(3)} ms]`,
  );
  const targets = {
    ...command.time !== undefined && { timeAtMost: command.time },
    ...command.memory !== undefined && { memoryAtMost: command.memory },
  };
  return { peer: peer.name, versions: peer.versions, time, memory, milliseconds: median(runs), ...targets };
}

async function earlier(): Promise<readonly Result[]> {
  try {
    return JSON.parse(await Deno.readTextFile(resultsFile)).results;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

const unknown = Deno.args.filter((name) => !ROWS.some((row) => row.name === name));
if (unknown.length > 0) {
  console.error(`There is no row ${unknown.join(", ")}; rows are ${ROWS.map((row) => row.name).join(", ")}`);
  Deno.exit(2);
}
for (const row of ROWS) {
  if (Deno.args.length > 0 && !Deno.args.includes(row.name)) continue;
  const result = await measure(row).catch((error: Error) => console.log(`  failed: ${error.message}`));
  if (result === undefined) continue;
  const others = (await earlier()).filter(({ row: name }) => name !== row.name);
  const order = (r: Result): number => ROWS.findIndex(({ name }) => name === r.row);
  const results = [...others, result].filter((r) => order(r) >= 0).sort((a, b) => order(a) - order(b));
  await Deno.writeTextFile(resultsFile, JSON.stringify({ results }, null, 2) + "\n");
}

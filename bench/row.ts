/** The definition of a benchmark row, and how its peers are started. */
import { type Peer, startPeer } from "./peer.ts";

/** One comparison. The first peer is ours; every other is a divisor: ratio = our time / its time. */
export interface Row {
  /** Its name in `deno task bench NAME`. */
  readonly name: string;
  readonly what: string;
  /** Counted runs of each peer, taken in turn. */
  readonly repetitions: number;
  /** Runs before them that are not counted. */
  readonly warmUp: number;
  readonly peers: readonly PeerCommand[];
}

/** A peer and the target for the ratio to it. */
export interface PeerCommand {
  readonly name: string;
  readonly start: () => Promise<Peer>;
  /** The largest ratio of times that meets the target; absent where the peer is only for context. */
  readonly time?: number;
  /** The largest ratio of peak resident memory. */
  readonly memory?: number;
}

const path = (file: string): string => new URL(`peers/${file}`, import.meta.url).pathname;
const words = (args: readonly unknown[]): readonly string[] =>
  args.map((arg) => typeof arg === "string" ? arg : JSON.stringify(arg));

/**
 * A peer of ours, or in JavaScript: `deno run` on a file of bench/peers. Other projects' packages are not in
 * our lock file.
 */
export function script(name: string, file: string, ...args: readonly unknown[]): PeerCommand {
  const command = [Deno.execPath(), "run", "-A", "--no-lock", path(file), ...words(args)];
  return { name, start: () => startPeer(name, command) };
}

/**
 * Python of bench:setup's environment, or the one named by BENCH_PYTHON. The environment's BLAS settings are
 * for old builds and slow a current one.
 */
export const PYTHON: readonly string[] = [
  ...["env", "-u", "OPENBLAS_CORETYPE", "-u", "OPENBLAS_L2_SIZE"],
  Deno.env.get("BENCH_PYTHON") ?? new URL("../.venv/bin/python", import.meta.url).pathname,
];

/** The backend of our own peer. */
export type Own = "wasm" | "native";

/** Our own peer on a backend. */
export function ours(backend: Own, file: string, options: object, name?: string): PeerCommand {
  return script(name ?? (backend === "native" ? "graft native" : "graft"), file, { ...options, backend });
}

/** The row of a backend: names of native rows say so. */
export function rowOn(backend: Own, row: Row): Row {
  return backend === "native" ? { ...row, name: `native-${row.name}`, what: `native: ${row.what}` } : row;
}

/** A peer in Python. */
export function python(name: string, file: string, ...args: readonly unknown[]): PeerCommand {
  return { name, start: () => startPeer(name, [...PYTHON, path(file), ...words(args)]) };
}

/** Sets a target ratio of at most `time` and, where given, `memory`. */
export function atMost(time: number, peer: PeerCommand, memory?: number): PeerCommand {
  return { ...peer, time, ...memory !== undefined && { memory } };
}

/**
 * The processes that train one adapter together. A program that runs alone is the world of size 1; `openMpi` gives the one of an
 * MPI launcher. Ranks count from 0; every rank takes the same steps, so that calls meet in the same order.
 */
import { rangeError } from "../errors/error.ts";

/** The processes of a run, seen from one of them. */
export interface World {
  /** The number of this process, from 0. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  /** Sends bytes to a rank, which receives as many. */
  send(to: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Fills `into` with what a rank sends. */
  receive(from: number, into: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Gives all ranks the bytes of one: filled in by the others. */
  broadcast(from: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Every rank's bytes, by rank; lengths may differ. */
  gather(bytes: Uint8Array<ArrayBuffer>): Promise<readonly Uint8Array<ArrayBuffer>[]>;
}

const nobody = (rank: number): Promise<never> =>
  Promise.reject(rangeError("INVALID_ARGUMENT", `There is no rank ${rank}: the program runs alone`));

/**
 * The world of one process.
 *
 * @example
 * ```ts
 * import { alone } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.deepEqual([alone.rank, alone.size], [0, 1]);
 * assert.deepEqual(await alone.gather(Uint8Array.of(7)), [Uint8Array.of(7)]);
 * ```
 */
export const alone: World = {
  rank: 0,
  size: 1,
  send: nobody,
  receive: nobody,
  broadcast: () => Promise.resolve(),
  gather: (bytes) => Promise.resolve([bytes]),
};

/**
 * What each rank has, as JSON, by rank.
 *
 * @example
 * ```ts
 * import { alone, gatherJson } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.deepEqual(await gatherJson(alone, { loss: 0.5 }), [{ loss: 0.5 }]);
 * ```
 */
export async function gatherJson<T>(world: World, own: T): Promise<readonly T[]> {
  if (world.size === 1) return [own];
  const all = await world.gather(new TextEncoder().encode(JSON.stringify(own)));
  return all.map((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as T);
}

/**
 * Each rank's numbers, by rank: every bit, infinities and NaN as well, which JSON lacks.
 *
 * @example
 * ```ts
 * import { alone, gatherNumbers } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.deepEqual(await gatherNumbers(alone, [0.1, NaN]), [[0.1, NaN]]);
 * ```
 */
export async function gatherNumbers(
  world: World,
  own: readonly number[],
): Promise<readonly (readonly number[])[]> {
  if (world.size === 1) return [own];
  const all = await world.gather(new Uint8Array(Float64Array.from(own).buffer));
  return all.map((bytes) => Array.from(new Float64Array(bytes.slice().buffer)));
}

/**
 * The numbers below `count` that are a rank's to work on: every size-th. `inOrder` puts what the ranks made of theirs together.
 */
export const shareOf = ({ rank, size }: World, count: number): readonly number[] =>
  Array.from({ length: Math.max(0, Math.ceil((count - rank) / size)) }, (_, i) => rank + i * size);

/** What all ranks made of their shares, in the order of the whole. */
export const inOrder = <T>(made: readonly (readonly T[])[]): readonly T[] =>
  Array.from(
    { length: made.reduce((sum, own) => sum + own.length, 0) },
    (_, i) => made[i % made.length]![Math.floor(i / made.length)]!,
  );

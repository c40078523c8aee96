/** The golden files that tests/oracles/formats.py makes, and small helpers to compare with them. */
import { inFolder as inPlainFolder } from "../support/folder.ts";

/** Folder of the golden files. */
export const GOLDEN: string = new URL("../oracles/golden/formats/", import.meta.url).pathname;

/** A golden JSON file. */
// deno-lint-ignore no-explicit-any
export function golden(name: string): any {
  return JSON.parse(Deno.readTextFileSync(GOLDEN + name));
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

export function f32(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.slice().buffer);
}

/** Runs with a fresh folder, whose path ends in a slash, and removes it. */
export const inFolder = (run: (folder: string) => void | Promise<void>): Promise<void> =>
  inPlainFolder((folder) => run(`${folder}/`));

/** All chunks one after the other; each is copied before the next is asked for. */
export function joined(pieces: Iterable<Uint8Array>): Uint8Array {
  const bytes: number[] = [];
  for (const piece of pieces) for (const byte of piece) bytes.push(byte);
  return Uint8Array.from(bytes);
}

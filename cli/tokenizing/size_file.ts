/**
 * Sizes of the rows of a data file under a tokenizer, kept from one run to the next in the user's cache folder. Whatever decides on
 * them is in the name of the file, so that other data, another tokenizer, template or option have a file of their own:
 *
 *     "GRAFTSZ1" | count u32 | lengths u32[count] | labelled tokens u32[count] | SHA-256 of all before
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { writeAtomically } from "../../formats/atomic_write.ts";

/** Sizes of rows. */
export interface Sizes {
  /** Tokens of each. */
  readonly lengths: Uint32Array;
  /** Labelled tokens of each. */
  readonly targets: Uint32Array;
}

/** What is kept: this many files, and bytes of all together. */
const MOST = { files: 64, bytes: 64 << 20 } as const;

const MAGIC = new TextEncoder().encode("GRAFTSZ1");
const DIGEST = 32;

/** The name of the file for what decides on the sizes. */
export const sizeFileName = (decides: Readonly<Record<string, unknown>>): string =>
  `${createHash("sha256").update(JSON.stringify(decides)).digest("hex")}.sizes`;

/** The sizes in a file; undefined where there is none, or one that is damaged or of another number of rows. */
export function readSizes(folder: string, name: string, count: number): Sizes | undefined {
  const path = join(folder, name);
  try {
    const bytes = new Uint8Array(readFileSync(path));
    const end = bytes.length - DIGEST;
    if (end !== MAGIC.length + 4 + 8 * count || !MAGIC.every((byte, i) => bytes[i] === byte)) {
      return undefined;
    }
    const digest = createHash("sha256").update(bytes.subarray(0, end)).digest();
    if (!digest.every((byte, i) => bytes[end + i] === byte)) return undefined;
    const view = new DataView(bytes.buffer);
    const from = MAGIC.length + 4;
    if (view.getUint32(MAGIC.length, true) !== count) return undefined;
    const numbers = (start: number): Uint32Array =>
      Uint32Array.from({ length: count }, (_, n) => view.getUint32(start + 4 * n, true));
    const sizes = { lengths: numbers(from), targets: numbers(from + 4 * count) };
    utimesSync(path, new Date(), new Date()); // the files that were used last are kept
    return sizes;
  } catch {
    return undefined; // whatever is wrong with it, sizes can be counted again
  }
}

/** Keeps sizes, and removes the files that were not used for longest. Where nothing can be written, nothing is kept. */
export async function writeSizes(folder: string, name: string, { lengths, targets }: Sizes): Promise<void> {
  const count = lengths.length;
  const bytes = new Uint8Array(MAGIC.length + 4 + 8 * count);
  if (bytes.length > MOST.bytes) return;
  bytes.set(MAGIC);
  const view = new DataView(bytes.buffer);
  view.setUint32(MAGIC.length, count, true);
  [...lengths, ...targets].forEach((number, i) => view.setUint32(MAGIC.length + 4 + 4 * i, number, true));
  try {
    mkdirSync(folder, { recursive: true });
    await writeAtomically(join(folder, name), (sink) => {
      sink.write(bytes);
      sink.write(createHash("sha256").update(bytes).digest());
    });
    removeOldest(folder);
  } catch {
    // A full disk, or one that may not be written to: the next run counts again.
  }
}

function removeOldest(folder: string): void {
  const files = readdirSync(folder).filter((name) => name.endsWith(".sizes")).flatMap((name) => {
    const path = join(folder, name);
    const found = statSync(path, { throwIfNoEntry: false });
    return found === undefined ? [] : [{ path, bytes: found.size, used: found.mtimeMs }];
  }).sort((a, b) => b.used - a.used);
  let bytes = 0;
  files.forEach((file, i) => {
    bytes += file.bytes;
    if (i >= MOST.files || bytes > MOST.bytes) rmSync(file.path, { force: true });
  });
}

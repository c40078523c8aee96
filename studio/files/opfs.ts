/**
 * The tab's storage: the origin private file system, in which models, data and runs outlive the tab. What is in it is
 * mounted in the volume when the tab opens; runs and data are written to it as they change in the volume, in the order of
 * their changes, each file whole or not at all, so that a tab that is killed at any moment leaves a checkpoint and what belongs to it.
 */
/// <reference lib="dom" />
import { bytesIn, type FileChange, type StoredBytes, type Volume } from "./volume.ts";

/** The folder of the storage that is the studio's. */
const HOME = "graft";
/** What is read into memory when the tab opens, and written as it changes. Models are mounted as they lie there. */
const LIVE = /^\/(runs|data)\/|^\/session\.json$/;
/** Files of the moment. */
const PASSING = /\.partial-\d+$|\.lock$|\.graft-partial|\.graft-old/;

/** Reads ranges of a blob at once, which only workers can. */
declare class FileReaderSync {
  readAsArrayBuffer(blob: Blob): ArrayBuffer;
}

/** A blob's bytes, read when they are asked for. */
export function blobBytes(blob: Blob): StoredBytes {
  const reader = new FileReaderSync();
  return {
    size: blob.size,
    read: (start, end) => new Uint8Array(reader.readAsArrayBuffer(blob.slice(start, end))),
  };
}

/** The storage of a tab. */
export interface Storage {
  /** Streams a file into it and mounts it; `received` hears how many bytes have come. */
  store(path: string, content: ReadableStream<Uint8Array>, received?: (bytes: number) => void): Promise<void>;
  /** Removes a file or folder. */
  remove(path: string): Promise<void>;
  /** Whether an earlier tab stored the file, or another tab did meanwhile. */
  has(path: string): Promise<boolean>;
  /** Resolves when what is being written is: a file that is still open may have more. */
  written(): Promise<void>;
  /** Resolves when all changes so far are written. */
  settled(): Promise<void>;
}

/**
 * Opens the storage and mounts what is in it.
 *
 * @param failed Hears why something could not be written: mostly that the storage is full.
 * @throws {Error} where the browser has none or refuses it.
 */
export async function openStorage(volume: Volume, failed: (problem: string) => void): Promise<Storage> {
  const root = await navigator.storage.getDirectory();
  const home = await root.getDirectoryHandle(HOME, { create: true });
  for await (const [path, handle] of filesIn(home, "")) {
    const file = await handle.getFile();
    volume.put(path, LIVE.test(path) ? new Uint8Array(await file.arrayBuffer()) : blobBytes(file));
  }
  let waiting = Promise.resolve();
  const later = (work: () => Promise<void>): void => {
    waiting = waiting.then(work).catch((error) => failed(reasonOf(error)));
  };
  const dirty = new Set<string>();
  const flush = (): void => {
    for (const path of dirty) {
      const node = volume.find(path);
      if (node?.kind !== "file") continue;
      // A copy: the file may grow meanwhile.
      const bytes = bytesIn(node).slice();
      later(() => writeFile(home, path, (sink) => sink.write(bytes)));
    }
    dirty.clear();
  };
  volume.watch((change) =>
    mirrored(change, { volume, dirty, flush, gone: (path) => later(() => removeFrom(home, path)) })
  );
  return {
    store: async (path, content, received = () => {}) => {
      let bytes = 0;
      await writeFile(home, path, async (sink) => {
        for await (const chunk of content) {
          await sink.write(chunk as Uint8Array<ArrayBuffer>);
          received(bytes += chunk.length);
        }
      });
      const handle = await handleOf(home, path, false);
      volume.put(path, blobBytes(await handle.getFile()));
    },
    remove: (path) => removeFrom(home, path),
    has: (path) => handleOf(home, path, false).then(() => true, () => false),
    written: () => waiting,
    settled: async () => {
      flush();
      await waiting;
    },
  };
}

/** What a change of the volume means for the storage. */
function mirrored(
  change: FileChange,
  to: {
    readonly volume: Volume;
    readonly dirty: Set<string>;
    readonly flush: () => void;
    readonly gone: (path: string) => void;
  },
): void {
  const isKept = (path: string): boolean => LIVE.test(path) && !PASSING.test(path);
  const { path, kind } = change;
  if (kind === "renamed") {
    for (const file of to.volume.below(path)) if (isKept(file)) to.dirty.add(file);
    // First what is new: a tab that is killed in between has both.
    to.flush();
    if (isKept(change.from)) to.gone(change.from);
    return;
  }
  if (!isKept(path)) return;
  if (kind === "removed") {
    to.dirty.delete(path);
    to.gone(path);
    return;
  }
  to.dirty.add(path);
  if (kind === "closed") to.flush();
}

type Folder = FileSystemDirectoryHandle;

async function* filesIn(
  folder: Folder,
  path: string,
): AsyncGenerator<readonly [string, FileSystemFileHandle]> {
  // The checker's list of the methods lacks this one.
  const entries = (folder as unknown as { entries(): AsyncIterable<[string, FileSystemHandle]> }).entries();
  for await (const [name, handle] of entries) {
    const at = `${path}/${name}`;
    if (handle.kind === "directory") yield* filesIn(handle as Folder, at);
    else if (!name.endsWith(".crswap")) yield [at, handle as FileSystemFileHandle];
  }
}

async function handleOf(home: Folder, path: string, create: boolean): Promise<FileSystemFileHandle> {
  const names = path.split("/").filter((name) => name !== "");
  let folder = home;
  for (const name of names.slice(0, -1)) folder = await folder.getDirectoryHandle(name, { create });
  return await folder.getFileHandle(names.at(-1)!, { create });
}

/** The browser writes to a copy, which takes the file's place when it is closed. */
async function writeFile(
  home: Folder,
  path: string,
  fill: (sink: FileSystemWritableFileStream) => Promise<void>,
): Promise<void> {
  const sink = await (await handleOf(home, path, true)).createWritable();
  try {
    await fill(sink);
  } catch (error) {
    await sink.abort().catch(() => {});
    throw error;
  }
  await sink.close();
}

async function removeFrom(home: Folder, path: string): Promise<void> {
  const names = path.split("/").filter((name) => name !== "");
  let folder = home;
  try {
    for (const name of names.slice(0, -1)) folder = await folder.getDirectoryHandle(name);
    await folder.removeEntry(names.at(-1)!, { recursive: true });
  } catch (error) {
    if ((error as Error).name !== "NotFoundError") throw error;
  }
}

/** Why the storage did not take something, for people. */
export function reasonOf(error: unknown): string {
  const { name, message } = error as Error;
  if (name === "QuotaExceededError") {
    return "The browser's storage for this page is full: what is new stays in this tab only. Free room by forgetting models or runs, or download the adapter before you close the tab.";
  }
  return `The browser's storage did not take a file (${message}): what is new stays in this tab only.`;
}

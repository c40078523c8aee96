/** What graft takes of `node:fs`, over the tab's files. In bundles for the studio it replaces that module. */
import {
  bytesIn,
  fileError,
  type FileNode,
  fileOf,
  type FolderNode,
  plainPath,
  resizeFile,
  writeBytes,
} from "../files/volume.ts";
import { volume } from "./volume.ts";
import { standardStreams } from "./streams.ts";

/** Flags of opening. */
export const constants: Readonly<
  Record<"O_RDONLY" | "O_WRONLY" | "O_RDWR" | "O_CREAT" | "O_EXCL" | "O_TRUNC", number>
> = {
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 64,
  O_EXCL: 128,
  O_TRUNC: 512,
};

interface OpenFile {
  readonly node: FileNode | FolderNode;
  readonly path: string;
  position: number;
  wrote: boolean;
}

const opened = new Map<number, OpenFile>();
/** 0, 1 and 2 are the standard streams. */
let last = 2;

/** What Node says of a file or folder. */
export interface Stats {
  readonly size: number;
  readonly mtimeMs: number;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

const statsOf = (node: FileNode | FolderNode): Stats => ({
  size: node.kind === "file" ? node.size : 0,
  mtimeMs: node.kind === "file" ? node.modified : 0,
  isFile: () => node.kind === "file",
  isDirectory: () => node.kind === "folder",
  isSymbolicLink: () => false,
});

/** An entry of a folder. */
export interface Dirent extends Pick<Stats, "isFile" | "isDirectory"> {
  readonly name: string;
  readonly parentPath: string;
}

/** Opens a file: "r", "r+", "w", "wx", "a", or flags by number. */
export function openSync(path: string, flags: string | number = "r", _mode?: number): number {
  const { write, create, exclusive, truncate } = meaningOf(flags);
  const found = volume.find(path);
  if (found === undefined && !create) volume.get(path, "open"); // says what is missing
  if (found !== undefined && exclusive) throw fileError("EEXIST", "open", path);
  if (found?.kind === "folder" && write) throw fileError("EISDIR", "open", path);
  let node = found;
  if (node === undefined || (truncate && node.kind === "file")) {
    const { entries, name } = volume.parent(path, "open");
    // A file that others have open keeps its bytes for them where it is replaced, but not where it is cut.
    if (node === undefined) entries.set(name, node = fileOf(new Uint8Array(0)));
    else if (node.kind === "file") resizeFile(node, 0);
    volume.changed({ kind: "written", path: plainPath(path) });
  }
  opened.set(++last, {
    node,
    path: plainPath(path),
    position: flags === "a" && node.kind === "file" ? node.size : 0,
    wrote: false,
  });
  return last;
}

function meaningOf(
  flags: string | number,
): Readonly<Record<"write" | "create" | "exclusive" | "truncate", boolean>> {
  if (typeof flags === "number") {
    const has = (bit: number): boolean => (flags & bit) !== 0;
    return {
      write: has(constants.O_WRONLY) || has(constants.O_RDWR),
      create: has(constants.O_CREAT),
      exclusive: has(constants.O_EXCL),
      truncate: has(constants.O_TRUNC),
    };
  }
  const creates = /^[wa]/.test(flags);
  return {
    write: creates || flags.includes("+"),
    create: creates,
    exclusive: flags.includes("x"),
    truncate: flags.startsWith("w"),
  };
}

function openFile(file: number, call: string): OpenFile {
  const found = opened.get(file);
  if (found === undefined) throw fileError("EBADF", call, String(file));
  return found;
}

function contentOf(file: number, call: string): FileNode {
  const { node, path } = openFile(file, call);
  if (node.kind === "folder") throw fileError("EISDIR", call, path);
  return node;
}

/** Closes a file. */
export function closeSync(file: number): void {
  const { path, wrote } = openFile(file, "close");
  opened.delete(file);
  if (wrote) volume.changed({ kind: "closed", path });
}

/** Fills a part of `target` and returns how many bytes there were. */
export function readSync(
  file: number,
  target: Uint8Array,
  offset = 0,
  length: number = target.length - offset,
  position: number | null = null,
): number {
  const node = contentOf(file, "read");
  const open = openFile(file, "read");
  const start = position ?? open.position;
  const bytes = bytesIn(node, start, start + length);
  target.set(bytes, offset);
  if (position === null) open.position += bytes.length;
  return bytes.length;
}

/** Writes a part of `bytes` and returns how many bytes that were. Numbers 1 and 2 are the standard outputs. */
export function writeSync(
  file: number,
  bytes: Uint8Array,
  offset = 0,
  length: number = bytes.length - offset,
  position: number | null = null,
): number {
  const part = bytes.subarray(offset, offset + length);
  if (file === 1 || file === 2) {
    standardStreams.write(file, part);
    return length;
  }
  const open = openFile(file, "write");
  const at = position ?? open.position;
  writeBytes(contentOf(file, "write"), at, part);
  if (position === null) open.position = at + length;
  open.wrote = true;
  volume.changed({ kind: "written", path: open.path });
  return length;
}

/** Cuts an open file. */
export function ftruncateSync(file: number, size = 0): void {
  resizeFile(contentOf(file, "ftruncate"), size);
  const open = openFile(file, "ftruncate");
  open.wrote = true;
  volume.changed({ kind: "written", path: open.path });
}

/** The tab's files are written to its storage apart from this (`files/opfs.ts`). */
export function fsyncSync(file: number): void {
  openFile(file, "fsync");
}

/** What is known of an open file. */
export const fstatSync = (file: number): Stats => statsOf(openFile(file, "fstat").node);

/** What is known of a path. */
export function statSync(path: string): Stats;
/** The same, and undefined where nothing is at the path. */
export function statSync(path: string, options: { readonly throwIfNoEntry: false }): Stats | undefined;
export function statSync(path: string, options?: { readonly throwIfNoEntry: false }): Stats | undefined {
  if (options?.throwIfNoEntry === false && volume.find(path) === undefined) return undefined;
  return statsOf(volume.get(path, "stat"));
}

/** Says when a file was last changed. */
export function utimesSync(path: string, _accessed: Date, modified: Date): void {
  volume.file(path, "utime").modified = modified.getTime();
}

/** Whether something is at a path. */
export const existsSync = (path: string): boolean => volume.find(path) !== undefined;

/** Names in a folder, or entries. */
export function readdirSync(path: string): string[];
/** Names in a folder, or entries. */
export function readdirSync(path: string, options: { readonly withFileTypes: true }): Dirent[];
export function readdirSync(path: string, options?: { readonly withFileTypes?: true }): string[] | Dirent[] {
  const node = volume.get(path, "scandir");
  if (node.kind === "file") throw fileError("ENOTDIR", "scandir", path);
  const entries = [...node.entries].sort(([a], [b]) => a < b ? -1 : 1);
  return options?.withFileTypes === true
    ? entries.map(([name, entry]) => ({ name, parentPath: path, ...statsOf(entry) }))
    : entries.map(([name]) => name);
}

/** A file's bytes, or its text. */
export function readFileSync(path: string): Uint8Array<ArrayBuffer>;
/** A file's bytes, or its text. */
export function readFileSync(path: string, encoding: "utf8"): string;
export function readFileSync(path: string, encoding?: "utf8"): Uint8Array<ArrayBuffer> | string {
  const bytes = bytesIn(volume.file(path, "open"));
  return encoding === undefined ? bytes.slice() : new TextDecoder().decode(bytes);
}

/** Writes a whole file. */
export function writeFileSync(
  path: string,
  content: string | Uint8Array,
  options: { readonly flag?: string; readonly encoding?: string } = {},
): void {
  const file = openSync(path, options.flag ?? "w");
  try {
    writeSync(file, typeof content === "string" ? new TextEncoder().encode(content) : content);
  } finally {
    closeSync(file);
  }
}

/** Makes a folder. */
export function mkdirSync(path: string, options: { readonly recursive?: boolean } = {}): void {
  volume.makeFolder(path, options.recursive ?? false);
}

/** A new folder whose name begins so. */
export function mkdtempSync(prefix: string): string {
  const path = `${prefix}${crypto.randomUUID().slice(0, 6)}`;
  volume.makeFolder(path, true);
  return path;
}

/** Moves a file or folder. */
export const renameSync = (from: string, to: string): void => volume.rename(from, to);

/** Removes a file. Who has it open keeps it. */
export function unlinkSync(path: string): void {
  volume.file(path, "unlink");
  volume.remove(path, "unlink");
}

/** Removes an empty folder. */
export function rmdirSync(path: string): void {
  const node = volume.get(path, "rmdir");
  if (node.kind === "file") throw fileError("ENOTDIR", "rmdir", path);
  if (node.entries.size > 0) throw fileError("ENOTEMPTY", "rmdir", path);
  volume.remove(path, "rmdir");
}

/** Removes a file, or with `recursive` a folder; with `force` nothing may be there. */
export function rmSync(
  path: string,
  options: { readonly recursive?: boolean; readonly force?: boolean } = {},
): void {
  let node: FileNode | FolderNode;
  try {
    node = volume.get(path, "rm");
  } catch (error) {
    if (options.force === true && (error as { readonly code?: string }).code === "ENOENT") return;
    throw error;
  }
  if (node.kind === "folder" && options.recursive !== true) throw fileError("EISDIR", "rm", path);
  volume.remove(path, "rm");
}

/** Copies a file or folder. */
export function cpSync(from: string, to: string, _options: { readonly recursive?: boolean } = {}): void {
  for (const path of [...volume.below(from)]) {
    volume.put(`${to}/${path.slice(plainPath(from).length)}`, bytesIn(volume.file(path, "cp")).slice());
  }
}

/** There are no links. */
export function realpathSync(path: string): string {
  volume.get(path, "realpath");
  return plainPath(path);
}

/** A file's bytes in chunks. */
export async function* createReadStream(path: string): AsyncGenerator<Uint8Array> {
  const file = volume.file(path, "open");
  const chunk = 1 << 20;
  for (let at = 0; at < file.size; at += chunk) yield await Promise.resolve(bytesIn(file, at, at + chunk));
}

/** The functions under one name, as some import them. */
const all: {
  readonly closeSync: typeof closeSync;
  readonly constants: typeof constants;
  readonly createReadStream: typeof createReadStream;
  readonly existsSync: typeof existsSync;
  readonly fstatSync: typeof fstatSync;
  readonly fsyncSync: typeof fsyncSync;
  readonly ftruncateSync: typeof ftruncateSync;
  readonly mkdirSync: typeof mkdirSync;
  readonly mkdtempSync: typeof mkdtempSync;
  readonly openSync: typeof openSync;
  readonly readFileSync: typeof readFileSync;
  readonly readSync: typeof readSync;
  readonly readdirSync: typeof readdirSync;
  readonly realpathSync: typeof realpathSync;
  readonly renameSync: typeof renameSync;
  readonly rmSync: typeof rmSync;
  readonly rmdirSync: typeof rmdirSync;
  readonly statSync: typeof statSync;
  readonly unlinkSync: typeof unlinkSync;
  readonly writeFileSync: typeof writeFileSync;
  readonly writeSync: typeof writeSync;
} = {
  closeSync,
  constants,
  createReadStream,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
};

export default all;

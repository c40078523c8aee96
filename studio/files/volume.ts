/**
 * Files of a tab, for code that asks `node:fs`: a tree in memory whose large files may lie elsewhere, as `Blob`s of which
 * ranges are read when they are asked for. Paths are POSIX's, the working folder is "/".
 */

/** The bytes of a file that lie elsewhere. */
export interface StoredBytes {
  readonly size: number;
  /** Bytes from `start` to `end`. */
  read(start: number, end: number): Uint8Array;
}

/** A file. Its bytes are in memory, with room to grow, or stored elsewhere until the first write. */
export interface FileNode {
  readonly kind: "file";
  size: number;
  content: Uint8Array | StoredBytes;
  modified: number;
}

/** A folder. */
export interface FolderNode {
  readonly kind: "folder";
  readonly entries: Map<string, FileNode | FolderNode>;
}

/** What happened to a path. */
export type FileChange =
  | { readonly kind: "written" | "closed" | "removed"; readonly path: string }
  | { readonly kind: "renamed"; readonly path: string; readonly from: string };

/** An error as the system's own: with a code. */
export function fileError(code: string, call: string, path: string): Error & { readonly code: string } {
  const sentence = SENTENCES[code] ?? code;
  return Object.assign(new Error(`${code}: ${sentence}, ${call} '${path}'`), { code });
}

const SENTENCES: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  ENOTDIR: "not a directory",
  EISDIR: "illegal operation on a directory",
  EEXIST: "file already exists",
  ENOTEMPTY: "directory not empty",
  EBADF: "bad file descriptor",
};

/** The names of a path from the root; "." and ".." are resolved. */
export function segmentsOf(path: string): readonly string[] {
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return names;
}

/** A path from the root in its one form. */
export const plainPath = (path: string): string => `/${segmentsOf(path).join("/")}`;

/** A tree of files, changed in place as a disk is. */
export class Volume {
  readonly #root: FolderNode = folder();
  readonly #watchers = new Set<(change: FileChange) => void>();

  /** Calls `seen` at every change, until the returned function is called. */
  watch(seen: (change: FileChange) => void): () => void {
    this.#watchers.add(seen);
    return () => void this.#watchers.delete(seen);
  }

  /** Tells the watchers. */
  changed(change: FileChange): void {
    for (const seen of this.#watchers) seen(change);
  }

  /** What is at a path; undefined for nothing. */
  find(path: string): FileNode | FolderNode | undefined {
    let at: FileNode | FolderNode | undefined = this.#root;
    for (const name of segmentsOf(path)) {
      if (at?.kind !== "folder") return undefined;
      at = at.entries.get(name);
    }
    return at;
  }

  /** What is at a path. @throws with the code ENOENT when there is nothing, ENOTDIR where a file is on the way. */
  get(path: string, call: string): FileNode | FolderNode {
    let at: FileNode | FolderNode = this.#root;
    for (const name of segmentsOf(path)) {
      if (at.kind === "file") throw fileError("ENOTDIR", call, path);
      const next = at.entries.get(name);
      if (next === undefined) throw fileError("ENOENT", call, path);
      at = next;
    }
    return at;
  }

  /** The file at a path. @throws with the code ENOENT or EISDIR. */
  file(path: string, call: string): FileNode {
    const found = this.get(path, call);
    if (found.kind === "folder") throw fileError("EISDIR", call, path);
    return found;
  }

  /** The folder around a path, and the path's last name. @throws with the code ENOENT or ENOTDIR. */
  parent(path: string, call: string): { readonly entries: Map<string, FileNode | FolderNode>; name: string } {
    const names = segmentsOf(path);
    const name = names.at(-1);
    if (name === undefined) throw fileError("EEXIST", call, path);
    const around = this.get(names.slice(0, -1).join("/"), call);
    if (around.kind === "file") throw fileError("ENOTDIR", call, path);
    return { entries: around.entries, name };
  }

  /** Makes a folder, and with `recursive` those around it. */
  makeFolder(path: string, recursive: boolean): void {
    if (recursive) {
      let at = this.#root;
      const names = segmentsOf(path);
      for (const [i, name] of names.entries()) {
        const next = at.entries.get(name) ?? folder();
        if (next.kind === "file") {
          throw fileError(i === names.length - 1 ? "EEXIST" : "ENOTDIR", "mkdir", path);
        }
        at.entries.set(name, next);
        at = next;
      }
      return;
    }
    const { entries, name } = this.parent(path, "mkdir");
    if (entries.has(name)) throw fileError("EEXIST", "mkdir", path);
    entries.set(name, folder());
  }

  /** Puts a file at a path, with the folders around it. */
  put(path: string, content: Uint8Array | StoredBytes): void {
    this.makeFolder(segmentsOf(path).slice(0, -1).join("/"), true);
    const { entries, name } = this.parent(path, "open");
    entries.set(name, fileOf(content));
    this.changed({ kind: "closed", path: plainPath(path) });
  }

  /** Removes a file or a folder with all that is in it. */
  remove(path: string, call: string): void {
    const { entries, name } = this.parent(path, call);
    if (!entries.delete(name)) throw fileError("ENOENT", call, path);
    this.changed({ kind: "removed", path: plainPath(path) });
  }

  /** Gives what is at a path another place, where a file may be replaced. */
  rename(from: string, to: string): void {
    const moved = this.get(from, "rename");
    const source = this.parent(from, "rename");
    const target = this.parent(to, "rename");
    const old = target.entries.get(target.name);
    if (old?.kind === "folder") {
      if (moved.kind === "file") throw fileError("EISDIR", "rename", to);
      if (old.entries.size > 0) throw fileError("ENOTEMPTY", "rename", to);
    }
    if (old?.kind === "file" && moved.kind === "folder") throw fileError("ENOTDIR", "rename", to);
    source.entries.delete(source.name);
    target.entries.set(target.name, moved);
    this.changed({ kind: "renamed", path: plainPath(to), from: plainPath(from) });
  }

  /** The paths of all files at or below a path. */
  *below(path: string): Generator<string> {
    const found = this.find(path);
    if (found?.kind === "file") yield plainPath(path);
    if (found?.kind !== "folder") return;
    for (const name of found.entries.keys()) yield* this.below(`${path}/${name}`);
  }
}

const folder = (): FolderNode => ({ kind: "folder", entries: new Map() });

/** A file of these bytes. */
export const fileOf = (content: Uint8Array | StoredBytes): FileNode => ({
  kind: "file",
  content,
  size: content instanceof Uint8Array ? content.length : content.size,
  modified: Date.now(),
});

/** Bytes of a file from `start` to `end`, as many as it has: a view where they are in memory. */
export function bytesIn({ content, size }: FileNode, start = 0, end: number = size): Uint8Array {
  const [from, to] = [Math.min(start, size), Math.min(end, size)];
  return content instanceof Uint8Array ? content.subarray(from, to) : content.read(from, to);
}

/** Writes bytes into a file at a place, which may be behind its end. */
export function writeBytes(file: FileNode, at: number, bytes: Uint8Array): void {
  if (bytes.length === 0) return;
  const size = Math.max(file.size, at + bytes.length);
  ownBytes(file, size).set(bytes, at);
  file.size = size;
  file.modified = Date.now();
}

/** Cuts a file to a size, or fills it with zeros up to it. */
export function resizeFile(file: FileNode, size: number): void {
  ownBytes(file, size).fill(0, Math.min(file.size, size), Math.max(file.size, size));
  file.size = size;
}

/** A file's bytes in memory, with room for a size. */
function ownBytes(file: FileNode, size: number): Uint8Array {
  const { content } = file;
  if (content instanceof Uint8Array && content.length >= size) return content;
  const grown = new Uint8Array(content instanceof Uint8Array ? Math.max(size, 2 * content.length) : size);
  grown.set(bytesIn(file, 0, Math.min(file.size, grown.length)));
  file.content = grown;
  return grown;
}

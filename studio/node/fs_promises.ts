/** What graft takes of `node:fs/promises`, over the tab's files. */
import * as fs from "./fs.ts";

const later = <A extends readonly unknown[], T>(work: (...args: A) => T) => (...args: A): Promise<T> =>
  new Promise((resolve) => resolve(work(...args)));

/** See `node:fs/promises`. */
export const readFile = later(
  fs.readFileSync as (path: string, encoding?: "utf8") => Uint8Array | string,
) as {
  (path: string): Promise<Uint8Array<ArrayBuffer>>;
  (path: string, encoding: "utf8"): Promise<string>;
};
/** See `node:fs/promises`. */
export const readdir = later(
  fs.readdirSync as (path: string, options?: object) => string[] | fs.Dirent[],
) as {
  (path: string): Promise<string[]>;
  (path: string, options: { readonly withFileTypes: true }): Promise<fs.Dirent[]>;
};
/** See `node:fs/promises`. */
export const stat: (path: string) => Promise<fs.Stats> = later((path: string) => fs.statSync(path));
/** See `node:fs/promises`. */
export const realpath: (path: string) => Promise<string> = later(fs.realpathSync);
/** See `node:fs/promises`. */
export const mkdir: (path: string, options?: { readonly recursive?: boolean }) => Promise<void> = later(
  fs.mkdirSync,
);
/** See `node:fs/promises`. */
export const rm: (
  path: string,
  options?: { readonly recursive?: boolean; readonly force?: boolean },
) => Promise<void> = later(fs.rmSync);
/** See `node:fs/promises`. */
export const rename: (from: string, to: string) => Promise<void> = later(fs.renameSync);
/** See `node:fs/promises`. */
export const writeFile: (path: string, content: string | Uint8Array) => Promise<void> = later(
  fs.writeFileSync,
);

/** See `node:fs/promises`. */
export const truncate: (path: string, size?: number) => Promise<void> = later((path, size) => {
  const file = fs.openSync(path, "r+");
  try {
    fs.ftruncateSync(file, size);
  } finally {
    fs.closeSync(file);
  }
});

/** An open file. */
export interface FileHandle extends AsyncDisposable {
  stat(): Promise<fs.Stats>;
  read(
    target: Uint8Array,
    offset?: number,
    length?: number,
    position?: number | null,
  ): Promise<{ readonly bytesRead: number; readonly buffer: Uint8Array }>;
  close(): Promise<void>;
}

/** See `node:fs/promises`. */
export const open: (path: string, flags?: string) => Promise<FileHandle> = later((path, flags) => {
  const file = fs.openSync(path, flags);
  const close = later(() => fs.closeSync(file));
  return {
    stat: later(() => fs.fstatSync(file)),
    read: later((target, offset, length, position) => ({
      bytesRead: fs.readSync(file, target, offset, length, position),
      buffer: target,
    })),
    close,
    [Symbol.asyncDispose]: close,
  };
});

/**
 * Folders that an adapter's own files name. A file may come from anyone, so a folder it names is read only if it is inside
 * the folder of the file, after resolving symbolic links; the caller can allow others.
 */
import { realpath } from "node:fs/promises";
import { isMissing } from "../platform/files.ts";
import { rangeError } from "../errors/error.ts";

/** Which folders may be read. */
export interface NamedFolderOptions {
  /**
   * Whether an adapter's own files may name folders outside its folder: absolute paths, paths with "..", symbolic links that
   * lead outside, and X-LoRA's experts seen from the working directory. Default false.
   */
  readonly outsideFolders?: boolean;
}

/** Who names the folder, for error messages, and which folders may be read. */
export interface Naming extends NamedFolderOptions {
  /** As in `Cannot load the expert "0" of "folder"`. */
  readonly what: string;
}

/**
 * The folder that a file in `root` names, which need not exist.
 *
 * @throws {RangeError} when the path is empty or root itself; unless allowed, also when it is absolute or outside root.
 */
export async function namedFolder(
  root: string,
  path: string,
  { what, outsideFolders = false }: Naming,
): Promise<string> {
  if (path === "") throw rangeError("FILE_INVALID", `${what}: expected the path of a folder but found ""`);
  const full = isAbsolute(path) ? path : `${root}/${path}`;
  if (outsideFolders) return full;
  if (isAbsolute(path) || path.split(/[/\\]/).includes("..")) throw outside(what, path, root);
  const [from, to] = [await realPath(root), await realPath(full)];
  if (from === undefined || to === undefined) return full;
  if (from === to) throw rangeError("FILE_INVALID", `${what}: "${path}" is the folder itself`);
  const slash = to.charAt(from.length);
  if (!to.startsWith(from) || !(slash === "/" || slash === "\\" || /[/\\]$/.test(from))) {
    throw outside(what, path, root);
  }
  return full;
}

/** The path without links, "." and ".."; undefined when nothing is there. */
export async function realPath(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

const isAbsolute = (path: string): boolean => /^([/\\]|[A-Za-z]:)/.test(path);

const outside = (what: string, path: string, root: string): RangeError =>
  rangeError(
    "ADAPTER_UNSUPPORTED",
    `${what}: "${path}" ${
      isAbsolute(path) ? "is an absolute path" : `lies outside "${root}"`
    }, which is not read unless asked for; name a folder inside, or load with ` +
      "{ outsideFolders: true } (--outside-folders)",
  );

/** The local path of a model. */
import { readdir, stat } from "node:fs/promises";
import { download, downloaded, type DownloadOptions, hubId } from "./hub/download.ts";
import { downloadHeaders } from "./hub/headers.ts";
import { isRefused } from "../platform/files.ts";
import { rangeError } from "../errors/error.ts";

/** The path itself, or a hub id's download. @throws {RangeError} when it is neither. */
export async function localPath(source: string, options: DownloadOptions = {}): Promise<string> {
  if (await exists(source)) return source;
  if (hubId(source) !== undefined) return await modelIn(await download(source, options));
  throw rangeError(
    "MODEL_NOT_FOUND",
    `Cannot load "${source}": there is no such file or folder, and it is no hub id ("owner/name")`,
  );
}

/** As `localPath`, but downloads only the headers of the weights. */
export async function localHeaders(source: string, options: DownloadOptions = {}): Promise<string> {
  if (await exists(source) || hubId(source) === undefined) return await localPath(source, options);
  return await modelIn(await downloadHeaders(source, options));
}

/** As `localPath`, but only for what is already local; undefined otherwise. */
export async function localCopy(source: string): Promise<string | undefined> {
  if (await exists(source)) return source;
  const folder = await downloaded(source);
  return folder === undefined ? undefined : await modelIn(folder);
}

/** A repository without safetensors holds one GGUF file, which is the model. */
async function modelIn(folder: string): Promise<string> {
  const names = await readdir(folder);
  const gguf = names.find((name) => name.endsWith(".gguf"));
  return gguf === undefined || names.some((name) => name.endsWith(".safetensors"))
    ? folder
    : `${folder}/${gguf}`;
}

/**
 * A path without read permission may exist: then the permission error is thrown, and the hub is not
 * contacted.
 */
export async function exists(path: string): Promise<boolean> {
  return await stat(path).then(() => true, (error) => {
    if (isRefused(error)) throw error;
    return false;
  });
}

/** Where a model lies on this machine. */
import { download, downloaded, type DownloadOptions, hubId } from "./hub/download.ts";
import { downloadHeaders } from "./hub/headers.ts";

/** The path itself, or a hub id's download. @throws {RangeError} when it is neither. */
export async function localPath(source: string, options: DownloadOptions = {}): Promise<string> {
  if (await exists(source)) return source;
  if (hubId(source) !== undefined) return await modelIn(await download(source, options));
  throw new RangeError(
    `Cannot load "${source}": there is no such file or folder, and it is no hub id ("owner/name")`,
  );
}

/** As `localPath`, with the headers of the weights alone where they would have to be downloaded. */
export async function localHeaders(source: string, options: DownloadOptions = {}): Promise<string> {
  if (await exists(source) || hubId(source) === undefined) return await localPath(source, options);
  return await modelIn(await downloadHeaders(source, options));
}

/** As `localPath`, of what is here already; undefined when nothing is. */
export async function localCopy(source: string): Promise<string | undefined> {
  if (await exists(source)) return source;
  const folder = await downloaded(source);
  return folder === undefined ? undefined : await modelIn(folder);
}

/** A repository without safetensors holds one GGUF file, which is the model. */
async function modelIn(folder: string): Promise<string> {
  const names = (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  const gguf = names.find((name) => name.endsWith(".gguf"));
  return gguf === undefined || names.some((name) => name.endsWith(".safetensors"))
    ? folder
    : `${folder}/${gguf}`;
}

/** A path that may not be read might be there: then the permission's message is the answer, and the hub is not asked. */
export async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, (error) => {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return false;
  });
}

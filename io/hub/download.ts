/**
 * Downloads checkpoints from the Hugging Face Hub to a local folder. `@huggingface/hub` lists the files; the
 * files themselves are fetched by `fetch.ts`, because the library can neither resume a download nor verify
 * it.
 *
 * The folder is `<cache>/<org>--<name>@<revision>`, plain files under the repository's own names, so that it
 * can be opened like any other checkpoint folder. The cache is the first of: the option, `$HF_HOME/graft`,
 * `$XDG_CACHE_HOME/graft/hub`, `~/.cache/graft/hub`. `.graft.json` in the folder records the version of each
 * file: a later call requests the list again and fetches only changed files.
 *
 * This is the only module that reads the environment: `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, `HF_HOME`,
 * `XDG_CACHE_HOME`, `HOME`.
 */
import process from "node:process";
import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ListFileEntry } from "@huggingface/hub";
import { fetchFile, hubError } from "./fetch.ts";
import { dataSetFiles, neededFiles } from "./files.ts";
import { type DownloadRecord, readRecord, writeRecord } from "./record.ts";
import { cacheFolder } from "../cache_folder.ts";
import { failure, syntaxError, typeError } from "../../errors/error.ts";

/** The progress of a download. */
export interface DownloadProgress {
  /** The current file, by its name in the repository. */
  readonly file: string;
  /** Its bytes on disk. */
  readonly received: number;
  /** Its total bytes. */
  readonly size: number;
  /** Its index among the files, from 0. */
  readonly index: number;
  /** How many files there are. */
  readonly count: number;
}

/** Options of downloads. */
export interface DownloadOptions {
  /** Branch, tag or commit; default: the part of the id after "@", else "main". */
  readonly revision?: string;
  /**
   * Names of the files to download, `*` for any run of characters; default: those selected by `neededFiles`.
   */
  readonly files?: readonly string[];
  /** What the id names: a model or adapter (default), or a data set, of which the training part is fetched. */
  readonly type?: "model" | "dataset";
  /** The folder that holds all downloads. */
  readonly cache?: string;
  /** URL of the hub; default `$HF_ENDPOINT`, else the public hub. */
  readonly endpoint?: string;
  /** A token for private and gated repositories; default `$HF_TOKEN`. */
  readonly token?: string;
  /** Number of attempts per file before the download fails. Default 3. */
  readonly attempts?: number;
  /**
   * Ends the download: the promise rejects with its reason. What came so far stays beside the file's place as a `.part`, from
   * which the next call goes on.
   */
  readonly signal?: AbortSignal;
  /** Called as bytes arrive. */
  readonly onProgress?: (progress: DownloadProgress) => void;
}

/** A repository and a revision of it. */
export interface HubId {
  /** "owner/name". */
  readonly name: string;
  /** Branch, tag or commit. */
  readonly revision?: string;
}

/**
 * Reads "org/name" or "org/name@revision"; undefined when the text is not such an id (a path, for example).
 *
 * @example
 * ```ts
 * import { hubId } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * assert.deepEqual(hubId("org/name@v1"), { name: "org/name", revision: "v1" });
 * assert.equal(hubId("./folder"), undefined);
 * ```
 */
export function hubId(text: string): HubId | undefined {
  const match = /^(\w[\w.-]*\/\w[\w.-]*)(?:@(\w[\w./-]*))?$/.exec(text);
  if (match === null || text.includes("..")) return undefined;
  return { name: match[1]!, ...(match[2] === undefined ? {} : { revision: match[2] }) };
}

/**
 * Downloads a model, adapter or data set and returns the local folder. Files that already exist in the
 * version that the hub lists are not fetched again; an interrupted download is resumed.
 *
 * With `HF_HUB_OFFLINE=1`, or when the hub cannot be reached, an earlier complete download of the same files
 * is used.
 *
 * @param id "org/name" or "org/name@revision".
 * @throws {SyntaxError} when the id is invalid.
 * @throws {RangeError} when a requested file does not exist, or a file does not have the size or hash that
 * the hub lists.
 * @throws {Error} when the hub refuses or cannot be reached; the message says what to do.
 * @throws the signal's reason when it is aborted.
 * @example
 * ```ts
 * import { download } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * // const folder = await download("HuggingFaceTB/SmolLM2-135M-Instruct", { files: ["*.json"] });
 * await assert.rejects(download("a folder of mine"), SyntaxError); // no id
 * ```
 */
export async function download(id: string, options: DownloadOptions = {}): Promise<string> {
  const { signal } = options;
  signal?.throwIfAborted();
  const found = await repository(id, options);
  if (found.listed === undefined) return found.folder;
  const { folder, record, selection, token } = found;
  let files = record.files;
  for (const [index, file] of found.listed.entries()) {
    const { path, size, version, sha256, url } = file;
    const target = join(folder, path);
    const progress = (received: number) =>
      options.onProgress?.({ file: path, received, size, index, count: found.listed!.length });
    if (files[path]?.version === version && await sizeOf(target) === size) {
      progress(size);
      continue;
    }
    await mkdir(dirname(target), { recursive: true });
    await fetchFile({
      url,
      target,
      size,
      version,
      ...sha256 !== undefined && { sha256 },
      ...token !== undefined && { token },
      ...signal && { signal },
      attempts: options.attempts ?? 3,
      onProgress: progress,
    });
    files = { ...files, [path]: { version, size } };
    await writeRecord(folder, { files, complete: record.complete.filter((s) => s !== selection) });
  }
  await writeRecord(folder, { files, complete: [...new Set([...record.complete, selection])] });
  return folder;
}

/** The folder of an earlier complete download; undefined when there is none. Makes no requests. */
export async function downloaded(id: string, options: DownloadOptions = {}): Promise<string | undefined> {
  const parsed = hubId(id);
  if (parsed === undefined) return undefined;
  const folder = folderOf(parsed, options);
  return (await readRecord(folder)).complete.includes(selectionOf(options)) ? folder : undefined;
}

/** A requested file of a repository. */
export interface WantedFile {
  readonly path: string;
  /** Its size in bytes. */
  readonly size: number;
  /** Identifies the content. */
  readonly version: string;
  /** The hash of large files. */
  readonly sha256?: string;
  readonly url: string;
}

/** The hub's information about a repository, and the local folder. */
export interface Repository {
  readonly folder: string;
  /** Absent when the hub cannot or must not be contacted and `folder` is complete. */
  readonly listed: readonly WantedFile[] | undefined;
  readonly record: DownloadRecord;
  /** The selection of files, as named in the record. */
  readonly selection: string;
  readonly token: string | undefined;
}

/** Requests the list of the selected files of a repository from the hub. @throws as `download`. */
export async function repository(id: string, options: DownloadOptions = {}): Promise<Repository> {
  const parsed = hubId(id);
  if (parsed === undefined) {
    throw syntaxError(
      "INVALID_ARGUMENT",
      `Expected a hub id such as "org/name" or "org/name@revision" but found "${id}"`,
    );
  }
  const { name } = parsed;
  const { type = "model" } = options;
  const revision = options.revision ?? parsed.revision ?? "main";
  const endpoint = (options.endpoint ?? variable("HF_ENDPOINT") ?? "https://huggingface.co").replace(
    /\/+$/,
    "",
  );
  const token = options.token ?? variable("HF_TOKEN");
  const folder = folderOf(parsed, options);
  const record = await readRecord(folder);
  const selection = selectionOf(options);
  const complete = record.complete.includes(selection);
  const here = { folder, record, selection, token };
  if (/^(1|true|yes|on)$/i.test(variable("HF_HUB_OFFLINE") ?? "")) {
    if (complete) return { ...here, listed: undefined };
    throw failure(
      "HUB_UNREACHABLE",
      `Cannot download ${id}: HF_HUB_OFFLINE is set and ${folder} holds no complete copy`,
    );
  }
  let entries: readonly ListFileEntry[];
  try {
    entries = await list({ type, name, revision, endpoint, token, signal: options.signal });
  } catch (error) {
    options.signal?.throwIfAborted();
    const { HubApiError } = await import("@huggingface/hub");
    if (error instanceof HubApiError) throw hubError(`list ${name}@${revision}`, error.statusCode, error);
    if (complete) return { ...here, listed: undefined };
    throw failure("HUB_UNREACHABLE", `Cannot reach ${endpoint} for ${id}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const paths = entries.map((entry) => entry.path);
  const chosen = type === "dataset" && options.files === undefined ? dataSetFiles(id, paths) : options.files;
  const wanted = neededFiles(id, paths, chosen);
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const listed = wanted.map((path): WantedFile => {
    const entry = byPath.get(path)!;
    return {
      path,
      size: entry.lfs?.size ?? entry.size,
      version: entry.lfs?.oid ?? entry.oid ?? "",
      ...entry.lfs !== undefined && { sha256: entry.lfs.oid },
      url: `${endpoint}/${type === "dataset" ? "datasets/" : ""}${name}/resolve/${
        encodeURIComponent(revision)
      }/${path.split("/").map(encodeURIComponent).join("/")}`,
    };
  });
  return { ...here, listed };
}

function folderOf({ name, revision }: HubId, options: DownloadOptions): string {
  const at = encodeURIComponent(options.revision ?? revision ?? "main");
  const kind = options.type === "dataset" ? "datasets--" : "";
  return join(options.cache ?? defaultCache(), `${kind}${name.replace("/", "--")}@${at}`);
}

const selectionOf = ({ files }: DownloadOptions): string => JSON.stringify(files ?? "needed");

async function list(
  repo: {
    readonly type: "model" | "dataset";
    readonly name: string;
    readonly revision: string;
    readonly endpoint: string;
    readonly token: string | undefined;
    readonly signal: AbortSignal | undefined;
  },
): Promise<readonly ListFileEntry[]> {
  const entries: ListFileEntry[] = [];
  const { listFiles } = await import("@huggingface/hub"); // a program that downloads nothing does not load it
  const pages = listFiles({
    repo: { type: repo.type, name: repo.name },
    // The library puts the revision into the URL as it is, and "refs/pr/1" must be one segment.
    revision: encodeURIComponent(repo.revision),
    recursive: true,
    hubUrl: repo.endpoint,
    ...repo.signal && { fetch: (url, init) => fetch(url, { ...init, signal: repo.signal! }) },
    ...(repo.token === undefined ? {} : { accessToken: repo.token }),
  });
  for await (const entry of pages) if (entry.type === "file") entries.push(entry);
  return entries;
}

function variable(name: string): string | undefined {
  return process.env[name] || undefined;
}

function defaultCache(): string {
  const folder = cacheFolder("hub", variable);
  if (folder === undefined) {
    throw typeError(
      "INVALID_ARGUMENT",
      "Expected a cache folder but found none: pass { cache } or set HF_HOME or HOME",
    );
  }
  return folder;
}

async function sizeOf(path: string): Promise<number | undefined> {
  return await stat(path).then((info) => info.size, () => undefined);
}

/**
 * Downloads the headers of a repository's weights without the weights, which contain every name, shape and
 * dtype. Each weight file is created with its full size, but only the beginning is fetched; the rest is a
 * hole that takes no disk space. They are stored separately from downloads, in `<name>@<revision>.headers`,
 * so that the holes are never mistaken for weights.
 */
import { mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bytesSource } from "../../formats/byte_source.ts";
import { openGguf } from "../../formats/gguf.ts";
import { HEADER_LIMIT } from "../../formats/safetensors_header.ts";
import { downloaded, type DownloadOptions, repository, type WantedFile } from "./download.ts";
import { fetchFile, fetchStart } from "./fetch.ts";

/** Bytes of a GGUF file to request first; headers with large vocabularies are several times as large. */
const FIRST_GGUF = 1 << 22;

/**
 * Downloads configs, tokenizer files and the headers of the weights and returns the folder.
 *
 * @throws as `download`.
 */
export async function downloadHeaders(id: string, options: DownloadOptions = {}): Promise<string> {
  const { signal } = options;
  signal?.throwIfAborted();
  const whole = await downloaded(id, options);
  if (whole !== undefined) return whole;
  const { folder, listed = [], token } = await repository(id, options);
  const headers = `${folder}.headers`;
  await mkdir(headers, { recursive: true });
  const request = {
    ...token !== undefined && { token },
    ...signal && { signal },
    attempts: options.attempts ?? 3,
  };
  for (const file of listed) {
    const target = join(headers, file.path);
    if (/\.(safetensors|gguf)$/.test(file.path)) {
      const start = await headerOf(file, request);
      await writeFile(target, start);
      await truncate(target, file.size);
    } else {
      await fetchFile({ ...file, ...request, target, onProgress: () => {} });
    }
  }
  return headers;
}

type Access = { readonly token?: string; readonly signal?: AbortSignal; readonly attempts: number };

async function headerOf(file: WantedFile, access: Access): Promise<Uint8Array> {
  const start = (length: number): Promise<Uint8Array> =>
    fetchStart({ ...access, url: file.url }, Math.min(length, file.size));
  if (file.path.endsWith(".safetensors")) {
    const first = await start(8);
    if (first.length < 8) return first;
    const length = Number(new DataView(first.buffer, first.byteOffset).getBigUint64(0, true));
    // A wrong length is reported by the reader.
    return length > HEADER_LIMIT ? first : await start(8 + length);
  }
  for (let length = FIRST_GGUF;; length *= 2) {
    const bytes = await start(length);
    if (length >= file.size || isWholeHeader(bytes, file)) return bytes;
  }
}

/** Whether the header of a GGUF file ends within its first bytes. */
function isWholeHeader(bytes: Uint8Array, { path, size }: WantedFile): boolean {
  let past = false;
  const start = bytesSource(path, bytes);
  try {
    openGguf({
      ...start,
      byteLength: size,
      read: (offset, length) => {
        past ||= offset + length > bytes.length;
        return past ? new Uint8Array(length) : start.read(offset, length);
      },
    });
  } catch {
    // Beyond the end there are zeros; errors before it are reported by the reader.
  }
  return !past;
}

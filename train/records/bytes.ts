/** The bytes of a data file in chunks, unpacked where it is compressed. */
import { open } from "node:fs/promises";
import { once } from "node:events";
import { type Duplex, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { joined } from "./lines.ts";
import { syntaxError, typeError } from "../../errors/error.ts";

/** How a file is compressed, by its first bytes. */
export type Compression = "gzip" | "zstd";

/** The compression that a file's first four bytes tell; undefined for none. */
export function compressionOf(head: Uint8Array): Compression | undefined {
  if (head[0] === 0x1F && head[1] === 0x8B) return "gzip";
  if (head[0] === 0x28 && head[1] === 0xB5 && head[2] === 0x2F && head[3] === 0xFD) return "zstd";
  return undefined;
}

/** The first bytes of a file, as many as there are. @throws {TypeError} when it is a folder. */
export async function firstBytes(file: string, count: number): Promise<Uint8Array> {
  for await (const chunk of storedBytes(file, count)) return chunk.slice(0, count);
  return new Uint8Array(0);
}

/**
 * The bytes as stored.
 *
 * @throws {TypeError} when the file is a folder.
 */
export async function* storedBytes(file: string, pieceSize: number = 1 << 16): AsyncGenerator<Uint8Array> {
  await using handle = await open(file);
  if ((await handle.stat()).isDirectory()) {
    throw typeError("DATA_INVALID", `Cannot read ${file}: it is a folder; give a file of JSON Lines in it`);
  }
  const buffer = new Uint8Array(pieceSize);
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

/**
 * The bytes of a file, gzip and zstd unpacked. A chunk is valid until the next one is requested.
 *
 * @throws {SyntaxError} when the compressed bytes are damaged or cut off.
 */
export async function* contentBytes(file: string): AsyncGenerator<Uint8Array> {
  const compression = compressionOf(await firstBytes(file, 4));
  if (compression === undefined) {
    yield* storedBytes(file);
    return;
  }
  try {
    yield* compression === "gzip" ? gunzipped(storedBytes(file)) : zstdContent(storedBytes(file));
  } catch (cause) {
    throw syntaxError("DATA_INVALID", `Cannot unpack ${file}: ${compression}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

const gunzipped = (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> =>
  through(chunks, createGunzip());

/** What a stream makes of bytes. Whoever stops early waits until the bytes' own source is closed. */
export async function* through<T>(chunks: AsyncIterable<Uint8Array>, stream: Duplex): AsyncGenerator<T> {
  const copies = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) yield chunk.slice();
  };
  const source = Readable.from(copies());
  source.on("error", (error) => stream.destroy(error));
  try {
    yield* source.pipe(stream) as AsyncIterable<T>;
  } finally {
    source.destroy();
    if (!source.closed) await once(source, "close");
  }
}

async function* zstdContent(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { Decompress } = await import("fzstd");
  const found: Uint8Array[] = [];
  const stream = new Decompress((chunk) => void found.push(chunk));
  for await (const chunk of chunks) {
    stream.push(chunk.slice());
    if (found.length > 0) yield joined(found.splice(0), new Uint8Array(0));
  }
  stream.push(new Uint8Array(0), true);
  if (found.length > 0) yield joined(found.splice(0), new Uint8Array(0));
}

/**
 * One file over HTTP, resumable: bytes go to `<target>.<version>.part`, a later attempt requests the rest
 * with a Range header, and only a file with the correct size and hash is renamed to the target.
 */
import { open, rename, rm, stat } from "node:fs/promises";
import { failure, rangeError } from "../../errors/error.ts";

/** What to fetch, and its expected size and hash. */
export interface FetchRequest {
  readonly url: string;
  /** The path of the resulting file. */
  readonly target: string;
  /** Its size in bytes. */
  readonly size: number;
  /** Identifies the content; a part of another version is not continued. */
  readonly version: string;
  /** The SHA-256 of the content in hex, where it is known. */
  readonly sha256?: string;
  readonly token?: string;
  /** Ends the work; what came so far stays in the part. */
  readonly signal?: AbortSignal;
  /** Number of attempts before giving up. */
  readonly attempts: number;
  /** Called with the bytes on disk. */
  readonly onProgress: (received: number) => void;
}

/** The connection failed or the server was busy: retried. */
class Interrupted extends Error {}

/**
 * Fetches a file.
 *
 * @throws {RangeError} when the content does not have the expected size or hash.
 * @throws {Error} when the server refuses, the connection fails in every attempt, or the disk is full; the
 *   part is kept for the next call.
 */
export async function fetchFile(request: FetchRequest): Promise<void> {
  const version = request.version.replace(/[^\w]/g, "").slice(0, 12);
  const part = `${request.target}${version === "" ? "" : `.${version}`}.part`;
  await retrying(request, () => receive(request, part)).catch((error) => {
    if (!(error instanceof Interrupted)) throw error;
    throw failure("HUB_UNREACHABLE", `${error.message}; call again to go on from there`, {
      cause: error.cause ?? error,
    });
  });
  await check(request, part);
  request.signal?.throwIfAborted();
  await rename(part, request.target);
}

/** Appends to the part until it is complete. */
async function receive(request: FetchRequest, part: string): Promise<void> {
  const { url, size, token, signal, onProgress } = request;
  let received = await stat(part).then((info) => info.size, () => 0);
  if (received > size) received = 0;
  if (received === size && size > 0) return;
  const response = await connect(url, {
    // Compression would change the meaning of ranges and sizes.
    "accept-encoding": "identity",
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(received > 0 ? { range: `bytes=${received}-` } : {}),
  }, signal);
  if (response.status === 416 || (response.status === 206 && !continues(response, received))) {
    await response.body?.cancel();
    await rm(part, { force: true });
    throw new Interrupted(`Cannot continue ${url}: the server does not go on at byte ${received}`);
  }
  if (!response.ok) return await refuse(response, url);
  // A server without ranges sends everything again.
  if (response.status !== 206) received = 0;
  const file = await open(part, received > 0 ? "a" : "w");
  try {
    onProgress(received);
    for await (const chunk of body(response, url, signal)) {
      received += chunk.length;
      if (received > size) break;
      await file.write(chunk).catch((cause) => {
        throw failure(
          "CANNOT_WRITE",
          `Cannot write ${part}: ${cause.message}; free some room there, then call again to go on from there`,
          { cause },
        );
      });
      onProgress(received);
    }
  } finally {
    await file.close();
  }
  if (received > size) {
    await rm(part, { force: true });
    throw rangeError("DOWNLOAD_DAMAGED", `Expected ${url} to hold ${size} bytes but found more`);
  }
  if (received < size) {
    throw new Interrupted(`Cannot fetch ${url}: the connection ended after ${received} of ${size} bytes`);
  }
}

/**
 * The first bytes of a file, at most `length`.
 *
 * @throws {Error} as `fetchFile`.
 */
export async function fetchStart(
  { url, token, attempts, signal }: Pick<FetchRequest, "url" | "token" | "attempts" | "signal">,
  length: number,
): Promise<Uint8Array> {
  return await retrying({ attempts, ...signal && { signal } }, async () => {
    const response = await connect(url, {
      "accept-encoding": "identity",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      range: `bytes=0-${length - 1}`,
    }, signal);
    if (!response.ok) return await refuse(response, url);
    const bytes = new Uint8Array(length);
    let received = 0;
    // A server without ranges sends everything; the rest is not read.
    for await (const chunk of body(response, url, signal)) {
      const part = chunk.subarray(0, length - received);
      bytes.set(part, received);
      received += part.length;
      if (received === length) break;
    }
    return bytes.subarray(0, received);
  });
}

/**
 * Retries interrupted work, doubling the delay each time, until the signal is aborted.
 *
 * @throws the error of the last attempt, or the signal's reason.
 */
async function retrying<R>(
  { attempts, signal }: Pick<FetchRequest, "attempts" | "signal">,
  work: () => Promise<R>,
): Promise<R> {
  for (let attempt = 1;; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Interrupted) || attempt >= attempts) throw error;
      await delay(100 * 2 ** attempt, signal);
    }
  }
}

/** Waits for some milliseconds. @throws the signal's reason as soon as it is aborted. */
async function delay(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  const abort = (): void => reject(signal!.reason);
  signal?.addEventListener("abort", abort);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** Throws the error for a response without the file; a busy server is retried. */
async function refuse(response: Response, url: string): Promise<never> {
  await response.body?.cancel();
  if (response.status >= 500 || response.status === 429) {
    throw new Interrupted(`Cannot fetch ${url}: the server answered ${response.status}`);
  }
  throw hubError(`fetch ${url}`, response.status);
}

async function connect(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<Response> {
  try {
    return await fetch(url, { headers, ...signal && { signal } });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new Interrupted(`Cannot fetch ${url}: ${(cause as Error).message}`, { cause });
  }
}

async function* body(
  response: Response,
  url: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  try {
    while (true) {
      const { done, value } = await reader.read().catch((cause) => {
        signal?.throwIfAborted();
        throw new Interrupted(`Cannot fetch ${url}: ${(cause as Error).message}`, { cause });
      });
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Whether a partial answer starts at the requested byte. */
function continues(response: Response, received: number): boolean {
  const range = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "");
  return received > 0 && range !== null && Number(range[1]) === received;
}

/** Verifies the hash of the part, if known. */
async function check({ url, sha256, signal }: FetchRequest, part: string): Promise<void> {
  if (sha256 === undefined || !/^[0-9a-f]{64}$/.test(sha256)) return;
  const { createHash } = await import("node:crypto");
  const hash = createHash("sha256");
  const file = await open(part, "r");
  try {
    const buffer = new Uint8Array(1 << 20);
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
  const found = hash.digest("hex");
  if (found !== sha256) {
    await rm(part, { force: true });
    throw rangeError(
      "DOWNLOAD_DAMAGED",
      `Expected ${url} to have the SHA-256 ${sha256} but found ${found}; download it again`,
    );
  }
}

/** The error for an HTTP status, with what to do about it. */
export function hubError(what: string, status: number, cause?: unknown): Error {
  const advice = status === 401 || status === 403
    ? "it is private, gated or does not exist; set HF_TOKEN to a token that may read it and accept its terms on the hub"
    : status === 404
    ? "there is no such repository, revision or file; check the spelling"
    : "try again later";
  return failure("HUB_REFUSED", `Cannot ${what}: the hub answered ${status}; ${advice}`, { cause });
}

/**
 * Workers that run a module of this package: the web's in Deno and browsers, Node's in Node and Bun. Nothing is imported, so that
 * a page can load this module, too.
 */
import { failure } from "../errors/error.ts";

/** A worker, as the program that started it sees it. */
export interface ProgramWorker {
  /** Sends it a message; values are copied. */
  post(message: unknown): void;
  /** Ends it, whatever it does. */
  end(): void;
}

/** The other end, as the worker sees it. */
export interface WorkerPort {
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  /** Calls `heard` with every message, which keeps the worker alive. */
  listen(heard: (message: unknown) => void): void;
}

/** A worker of the web, as far as it is used. */
export interface WebWorker {
  /** Sends it a message. */
  postMessage(message: unknown): void;
  /** Ends it. */
  terminate(): void;
  /** Hears its messages. */
  onmessage: ((event: MessageEvent) => void) | null;
  /** Hears that its script failed. */
  onerror: ((event: ErrorEvent) => void) | null;
}

/** Node's module of threads, as far as it is used. */
interface Threads {
  readonly isMainThread: boolean;
  readonly parentPort: null | {
    postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
    on(event: "message", heard: (message: unknown) => void): void;
  };
  readonly Worker: new (url: URL) => {
    postMessage(message: unknown): void;
    terminate(): unknown;
    on(event: "message" | "error" | "exit", heard: (value: unknown) => void): void;
  };
}

/** The globals that tell where this runs. */
interface Place {
  readonly Deno?: unknown;
  readonly process?: { getBuiltinModule?(name: string): unknown };
  readonly Worker?: new (url: URL, options: { readonly type: "module" }) => WebWorker;
  readonly DedicatedWorkerGlobalScope?: new () => object;
}

const place = globalThis as unknown as Place;

/** Node's threads in Node and Bun; undefined in Deno and browsers, which have the web's workers. */
function nodeThreads(): Threads | undefined {
  if (place.Deno !== undefined) return undefined;
  return place.process?.getBuiltinModule?.("node:worker_threads") as Threads | undefined;
}

/**
 * Starts a module in a worker.
 *
 * @param program Its address, or what starts it.
 * @param failed Called when the worker ends by an error that nobody caught, or does not start.
 */
export function startProgram(
  program: URL | (() => WebWorker),
  heard: (message: unknown) => void,
  failed: (error: unknown) => void,
): ProgramWorker {
  const threads = nodeThreads();
  if (typeof program === "function" || threads === undefined) {
    return byWeb(typeof program === "function" ? program() : webWorker(program), heard, failed);
  }
  const worker = new threads.Worker(program);
  worker.on("message", heard);
  worker.on("error", failed);
  worker.on("exit", () => failed(failure("BACKEND_FAILED", "The worker ended before its work did")));
  return { post: (message) => worker.postMessage(message), end: () => void worker.terminate() };
}

function webWorker(program: URL): WebWorker {
  if (place.Worker === undefined) {
    throw failure("BACKEND_UNAVAILABLE", "Cannot start a worker: there are none here");
  }
  return new place.Worker(program, { type: "module" });
}

function byWeb(
  worker: WebWorker,
  heard: (message: unknown) => void,
  failed: (error: unknown) => void,
): ProgramWorker {
  worker.onmessage = ({ data }) => heard(data);
  worker.onerror = (event) => {
    event.preventDefault();
    // An event without a message: the script was not run at all.
    failed(failure("BACKEND_FAILED", `Cannot run the worker: ${event.message || FORBIDDEN}`));
  };
  return { post: (message) => worker.postMessage(message), end: () => worker.terminate() };
}

const FORBIDDEN = "its script is not there, or the page's content security policy forbids it (worker-src)";

/** The port to who started this worker; undefined where this is none. */
export function workerPort(): WorkerPort | undefined {
  const { DedicatedWorkerGlobalScope: Scope } = place;
  const threads = nodeThreads();
  if (threads !== undefined) {
    const { isMainThread, parentPort } = threads;
    if (isMainThread || parentPort === null) return undefined;
    return {
      post: (message, transfer) => parentPort.postMessage(message, transfer),
      listen: (heard) => parentPort.on("message", heard),
    };
  }
  if (Scope === undefined || !(globalThis instanceof Scope)) return undefined;
  const own = globalThis as unknown as {
    onmessage: (event: MessageEvent) => void;
    postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
  };
  return {
    post: (message, transfer = []) => own.postMessage(message, transfer),
    listen: (heard) => own.onmessage = ({ data }) => heard(data),
  };
}

/** Starts workers in Deno and Node. Browser bundles replace this file by `browser/worker.ts`. */
import { Worker } from "node:worker_threads";

/** A thread that runs until it is terminated. It does not keep the program alive. */
export interface StartedWorker {
  /** Calls the thread's function, once; data are copied or shared like messages. */
  send(data: unknown): void;
  end(): void;
}

/**
 * Starts a separate thread for the source of a function, which is called with what `send` is given.
 *
 * @param failed Called when the thread throws.
 */
export function startWorker(source: string, failed: (error: unknown) => void): StartedWorker {
  const program = `import { parentPort } from "node:worker_threads";\nparentPort.once("message", ${source});`;
  const worker = new Worker(new URL("data:text/javascript," + encodeURIComponent(program)));
  worker.on("error", failed);
  worker.unref();
  return { send: (data) => worker.postMessage(data), end: () => void worker.terminate() };
}

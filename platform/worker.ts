/** Starts workers in Deno and Node. Browser bundles replace this file by `browser/worker.ts`. */
import { Worker } from "node:worker_threads";

/** A thread that runs until it is terminated. It does not keep the program alive. */
export interface StartedWorker {
  end(): void;
}

/**
 * Runs the source of a function of `data` in a separate thread.
 *
 * @param failed Called when the thread throws.
 */
export function startWorker(
  source: string,
  data: unknown,
  failed: (error: unknown) => void,
): StartedWorker {
  const program = `import { workerData } from "node:worker_threads";\n(${source})(workerData);`;
  const worker = new Worker(new URL("data:text/javascript," + encodeURIComponent(program)), {
    workerData: data,
  });
  worker.on("error", failed);
  worker.unref();
  return { end: () => void worker.terminate() };
}

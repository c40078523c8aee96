/** Starts workers in browsers: replaces `platform/worker.ts` in bundles. */
import type { StartedWorker } from "../platform/worker.ts";
import { failure } from "../errors/error.ts";

/** See `platform/worker.ts`. */
export function startWorker(source: string, failed: (error: unknown) => void): StartedWorker {
  const program = `onmessage = ({ data }) => (${source})(data);`;
  const url = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
  const worker = new Worker(url);
  worker.onerror = (event) => failed(failure("BACKEND_FAILED", event.message));
  return {
    send: (data) => worker.postMessage(data),
    end: () => {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}

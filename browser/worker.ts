/** Starts workers in browsers: replaces `platform/worker.ts` in bundles. */
import type { StartedWorker } from "../platform/worker.ts";
import { failure } from "../errors/error.ts";

const FORBIDDEN =
  "the page's content security policy forbids workers whose script is a blob; worker-src blob: allows them";

/** See `platform/worker.ts`. */
export function startWorker(source: string, failed: (error: unknown) => void): StartedWorker {
  const program = `onmessage = ({ data }) => (${source})(data);`;
  const url = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
  const worker = new Worker(url);
  // An event without a message: the script was not run at all.
  worker.onerror = ({ message }) => failed(failure("BACKEND_FAILED", message || FORBIDDEN));
  return {
    send: (data) => worker.postMessage(data),
    end: () => {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}

/**
 * The program of a worker, which `trainInWorker` and `generateInWorker` start. In a main thread it does nothing.
 *
 * @module
 */
import { errorData } from "../errors/crossing.ts";
import { workerPort } from "../platform/program_worker.ts";
import type { AdapterData } from "../io/adapter_data.ts";
import { generateJob } from "./generate_job.ts";
import type { FromWorker, Job, ToWorker } from "./messages.ts";
import { openBackend } from "./opened.ts";
import { trainJob } from "./train_job.ts";

/** What comes out of a job. */
type Result = AdapterData | readonly string[];

/** The memory of an adapter, which moves to the other thread in place of being copied. */
const buffersOf = (result: Result): readonly ArrayBuffer[] =>
  "params" in result ? Object.values(result.params).map(({ bytes }) => bytes.buffer as ArrayBuffer) : [];

async function result(job: Job, told: (value: unknown) => void, signal: AbortSignal): Promise<Result> {
  const backend = await openBackend(job.run.backend ?? {});
  try {
    signal.throwIfAborted();
    return job.kind === "train"
      ? await trainJob(job.run, backend, told, signal)
      : await generateJob(job.run, backend, told, signal);
  } finally {
    backend.close();
  }
}

const port = workerPort();
if (port !== undefined) {
  const controller = new AbortController();
  const post = (message: FromWorker): void => port.post(message);
  port.listen(async (heard) => {
    const message = heard as ToWorker;
    if (message.kind === "abort") return controller.abort();
    try {
      const told = (value: unknown): void => post({ kind: "progress", value });
      const done = await result(message.job, told, controller.signal);
      port.post({ kind: "done", result: done } satisfies FromWorker, buffersOf(done));
    } catch (error) {
      post(controller.signal.aborted ? { kind: "aborted" } : { kind: "failed", error: errorData(error) });
    }
  });
  post({ kind: "ready" });
}

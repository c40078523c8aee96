/** A job in a worker as its starter sees it: progress as an async iterator, the result as a promise. */
import { errorOf } from "../errors/crossing.ts";
import { failure } from "../errors/error.ts";
import { type ProgramWorker, startProgram, type WebWorker } from "../platform/program_worker.ts";
import type { FromWorker, Job, ToWorker } from "./messages.ts";

/** How to start a worker. */
export interface WorkerOptions {
  /** Ends the work: iteration and result reject with its reason as soon as the worker has freed everything and ended. */
  readonly signal?: AbortSignal;
  /**
   * The worker's program, `@graft/peft/worker/program`: its address, or what starts it. Default: the package's own file, which a
   * bundle for pages does not have; there it is a bundle of its own, in Vite
   * `import Program from "@graft/peft/worker/program?worker"` and `() => new Program()`.
   */
  readonly program?: URL | (() => WebWorker);
}

/** Work in a worker. */
export interface WorkerRun<Progress, Result> extends AsyncIterable<Progress> {
  /**
   * What came out of it. Rejects as iterating does: with the worker's error, its class and code, or with the signal's reason.
   * Leaving a loop early ends the work, too, and rejects with CANCELLED.
   */
  readonly result: Promise<Result>;
}

/** The address of the program beside this module, or as the package exports it. */
const ownProgram = (): URL =>
  import.meta.url.endsWith(".ts")
    ? new URL("./program.ts", import.meta.url)
    : new URL(import.meta.resolve("@graft/peft/worker/program"));

/** Starts a worker for a job. */
export function startJob<Progress, Result>(
  job: Job,
  { signal, program }: WorkerOptions,
): WorkerRun<Progress, Result> {
  const told: Progress[] = [];
  let wake: PromiseWithResolvers<void> = Promise.withResolvers();
  const outcome = Promise.withResolvers<Result>();
  outcome.promise.catch(() => {}); // who iterates hears of it there
  let worker: ProgramWorker | undefined;
  let ended: { readonly failed: boolean; readonly error?: unknown } | undefined;
  let reason: unknown;

  const notify = (): void => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  const end = (how: { readonly failed: boolean; readonly error?: unknown }, result?: Result): void => {
    if (ended !== undefined) return;
    ended = how;
    signal?.removeEventListener("abort", aborted);
    worker?.end();
    if (how.failed) outcome.reject(how.error);
    else outcome.resolve(result as Result);
    notify();
  };
  const post = (message: ToWorker): void => worker?.post(message);
  const abort = (why: unknown): void => {
    if (ended !== undefined || reason !== undefined) return;
    reason = why;
    post({ kind: "abort" });
  };
  const aborted = (): void => abort(signal!.reason);
  const heard = (message: FromWorker): void => {
    switch (message.kind) {
      case "ready":
        return post({ kind: "start", job });
      case "progress":
        told.push(message.value as Progress);
        return notify();
      case "done":
        return end({ failed: false }, message.result as Result);
      case "failed":
        return end({ failed: true, error: reason ?? errorOf(message.error) });
      case "aborted":
        return end({ failed: true, error: reason });
      default:
        return message satisfies never;
    }
  };

  if (signal?.aborted) {
    end({ failed: true, error: signal.reason });
  } else {
    signal?.addEventListener("abort", aborted, { once: true });
    try {
      worker = startProgram(
        program ?? ownProgram(),
        (message) => heard(message as FromWorker),
        (error) => end({ failed: true, error }),
      );
    } catch (error) {
      end({ failed: true, error });
    }
  }

  async function* progress(): AsyncGenerator<Progress, void, void> {
    try {
      for (let i = 0;;) {
        if (i < told.length) yield told[i++]!;
        else if (ended?.failed) throw ended.error;
        else if (ended !== undefined) return;
        else await wake.promise;
      }
    } finally {
      if (ended === undefined) {
        abort(failure("CANCELLED", "The loop over the worker's progress was left before its end"));
        await outcome.promise.catch(() => {});
      }
    }
  }
  return { result: outcome.promise, [Symbol.asyncIterator]: progress };
}

/** What a worker and the program that started it say to each other. */
import type { ErrorData } from "../errors/crossing.ts";
import type { MethodRecord } from "../io/records/method_record.ts";
import type { WorkerGeneration, WorkerTraining } from "./jobs.ts";

/** What a worker is to do. */
export type Job =
  | { readonly kind: "train"; readonly run: WorkerTraining & { readonly method: MethodRecord } }
  | { readonly kind: "generate"; readonly run: WorkerGeneration };

/** To the worker. */
export type ToWorker =
  | { readonly kind: "start"; readonly job: Job }
  | { readonly kind: "abort" };

/** From it; one that is done, failed or aborted has freed all that it had. */
export type FromWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "progress"; readonly value: unknown }
  | { readonly kind: "done"; readonly result: unknown }
  | { readonly kind: "failed"; readonly error: ErrorData }
  | { readonly kind: "aborted" };

/**
 * The program of a worker that trains: post it a `PageRun`; it posts a `PageStep` per step, and at the end a
 * `PageResult` or an error. With cross-origin isolation it computes on all cores, else on one.
 */
import { wasm } from "../ops/wasm/mod.ts";
import { type PageResult, type PageRun, type PageStep, trainPage } from "./train.ts";

/** Messages of the worker. */
export type WorkerMessage =
  | { readonly kind: "step"; readonly step: PageStep }
  | { readonly kind: "done"; readonly result: PageResult; readonly seconds: number }
  | { readonly kind: "failed"; readonly message: string };

// The checker knows the globals of a window here, not those of a worker.
const port = globalThis as unknown as {
  onmessage: (event: MessageEvent<PageRun>) => void;
  postMessage(message: WorkerMessage): void;
};

port.onmessage = async ({ data }) => {
  try {
    const backend = await wasm();
    try {
      const start = performance.now();
      const result = await trainPage(data, backend, (step) => port.postMessage({ kind: "step", step }));
      port.postMessage({ kind: "done", result, seconds: (performance.now() - start) / 1000 });
    } finally {
      backend.close();
    }
  } catch (error) {
    port.postMessage({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
  }
};

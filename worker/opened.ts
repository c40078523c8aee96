/** Backends and models from their descriptions. */
import type { Backend, Model } from "../core/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { loadModel } from "../io/load_model.ts";
import { modelFromFiles } from "../io/model_files.ts";
import { auto } from "../ops/auto/mod.ts";
import { openNative } from "../ops/native/mod.ts";
import { wasm } from "../ops/wasm/mod.ts";
import type { WorkerBackend, WorkerModel } from "./jobs.ts";
import { rangeError } from "../errors/error.ts";

/** @throws {RangeError} when there is no backend of the name. @throws {Error} when it does not start here. */
export async function openBackend({ name = "auto", threads }: WorkerBackend): Promise<Backend> {
  const options = threads === undefined ? {} : { threads };
  switch (name) {
    case "auto":
      return await auto(options);
    case "wasm":
      return await wasm(options);
    case "native":
      return await openNative(options);
    case "reference":
      return (await import("../ops/reference/mod.ts")).reference();
    case "gpu":
      return await (await import("../ops/gpu/mod.ts")).gpu();
    default:
      throw rangeError("INVALID_ARGUMENT", `The backend "${name satisfies never}" is not known`);
  }
}

/** As `loadModel` and `modelFromFiles`. */
export async function openModel(
  { model, dtype, quantize }: WorkerModel,
  backend: Backend,
  signal: AbortSignal,
): Promise<Model<Tokenizer>> {
  return typeof model === "string"
    ? await loadModel(model, { backend, signal, ...dtype && { dtype }, ...quantize && { quantize } })
    : modelFromFiles(model, backend);
}

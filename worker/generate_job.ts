/** Texts from their description, in whichever thread this is. */
import {
  type Adapter,
  type Backend,
  dispose,
  generate,
  type GeneratedToken,
  graft,
  type Model,
} from "../core/mod.ts";
import { adapterFromData } from "../io/adapter_data.ts";
import { loadAdapter } from "../io/load_adapter.ts";
import type { WorkerGeneration } from "./jobs.ts";
import { openModel } from "./opened.ts";

/** Writes a text for each prompt, and frees all that it allocated. @throws the signal's reason when it is aborted. */
export async function generateJob(
  run: WorkerGeneration,
  backend: Backend,
  told: (token: GeneratedToken) => void,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { prompts, adapter, model: _, dtype: __, quantize: ___, backend: ____, ...options } = run;
  const model = await openModel(run, backend, signal);
  try {
    const loaded = adapter === undefined ? undefined : await adapterOf(adapter, model, signal);
    try {
      const tuned = loaded === undefined ? model : graft(model, loaded);
      return await generate(tuned, prompts, { ...options, signal, onToken: told });
    } finally {
      dispose(loaded?.params);
    }
  } finally {
    model.dispose();
  }
}

const adapterOf = (
  adapter: NonNullable<WorkerGeneration["adapter"]>,
  model: Model,
  signal: AbortSignal,
): Promise<Adapter> =>
  typeof adapter === "string" ? loadAdapter(adapter, model, { signal }) : adapterFromData(adapter, model);

/**
 * Adapter folders that we write, for vllm_reader.py to read by vLLM's own code.
 *
 *     deno run -A tests/oracles/vllm_written.ts FOLDER
 */
import {
  adapt,
  type Adapter,
  at,
  compose,
  dispose,
  layers,
  type Method,
  type Model,
} from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter, type SaveAdapterOptions } from "../../io/save_adapter.ts";
import { dora, ia3, lora, modulesToSave, onOriginal, pissa, toLora } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { GOLDEN } from "../support/golden.ts";

/** How each folder is made. */
type Making = (model: Model) => Adapter | Promise<Adapter>;

const of = (method: Method): Making => (model) => adapt(model, method, 1) as Adapter;

/** The folders by name; those that are refused say so. */
export const FOLDERS: Readonly<Record<string, Making>> = {
  "lora": of(lora({ rank: 4 })),
  "lora_all_linear": of(lora({ rank: 4, alpha: 12, targets: "all-linear" })),
  "rslora": of(lora({ rank: 4, alpha: 8, scaling: "rankStabilized" })),
  "one_layer": of(at(layers(1), lora({ rank: 2 }))),
  "from_dora": async (model) =>
    (await toLora(model, of(dora({ rank: 2 }))(model) as Adapter, { error: 0.05 })).adapter,
  "from_pissa": async (model) => (await onOriginal(model, await pissa(model, { rank: 2 }))).adapter,
  "classifier": of(compose({ adapter: lora({ rank: 2 }), saved: modulesToSave({ modules: ["score"] }) })),
  "rank_32_refused": of(lora({ rank: 32 })),
  "dora_refused": of(dora({ rank: 2 })),
  "ia3_refused": of(ia3()),
};

/** Writes one of them. */
export async function writeFolder(
  path: string,
  name: string,
  options: SaveAdapterOptions = {},
): Promise<void> {
  const backend = reference();
  const task = name === "classifier" ? { task: { kind: "score" } as const } : {};
  const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend, ...task });
  const adapter = await FOLDERS[name]!(model);
  await saveAdapter(path, adapter, model, { format: "peft", ...options });
  dispose(adapter.params);
  model.dispose();
}

if (import.meta.main) {
  const [folder] = Deno.args;
  if (folder === undefined) throw new Error("Expected a folder");
  for (const name of Object.keys(FOLDERS)) {
    try {
      await writeFolder(`${folder}/${name}`, name);
    } catch (error) {
      console.error(name, (error as Error).message);
    }
  }
}

/**
 * Writes every golden AdapterHub folder once more as we write it, with the logits that we compute, for
 * `python tests/oracles/adapter_hub_folders.py --check FOLDER`.
 *
 *     deno run -A tests/oracles/adapter_hub_written.ts FOLDER
 */
import { bytesOf, dispose, forward, graft } from "../../core/mod.ts";
import { writeSafetensors } from "../../formats/safetensors_write.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { wasm } from "../../ops/wasm/mod.ts";
import { baseOf, hubBatch, hubModel } from "../io/adapterhub/cases.ts";
import { GOLDEN } from "../support/golden.ts";

const [out] = Deno.args;
if (out === undefined) throw new Error("Say where to write");
const backend = await wasm({ threads: 1 });
for (const { name: kind } of Deno.readDirSync(`${GOLDEN}adapter_hub_folders`)) {
  const model = await loadModel(hubModel(baseOf(kind)), { backend });
  const adapter = await loadAdapter(`${GOLDEN}adapter_hub_folders/${kind}`, model);
  try {
    await saveAdapter(`${out}/${kind}`, adapter, model, { format: "adapters" });
    const { logits } = forward(graft(model, adapter), hubBatch(baseOf(kind)));
    const { shape, dtype } = logits;
    await writeSafetensors(`${out}/${kind}/ours.safetensors`, [
      { name: "logits", shape, dtype, byteLength: logits.storage.bytes, read: () => bytesOf(logits) },
    ]);
    logits.storage.free();
  } catch (error) {
    console.log(`${kind}: ${(error as Error).message}`);
  }
  dispose(adapter.params);
  model.dispose();
}

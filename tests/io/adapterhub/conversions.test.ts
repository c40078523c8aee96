/** Where HF PEFT and AdapterHub hold the same method a folder of one becomes a folder of the other, with the same logits. */
import assert from "node:assert/strict";
import { dispose, forward, graft, type Model, read } from "../../../core/mod.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { GOLDEN } from "../../support/golden.ts";
import { baseOf, hubBatch, hubModel } from "./cases.ts";

async function logitsOf(folder: string, model: Model, base: string): Promise<readonly number[]> {
  const adapter = await loadAdapter(folder, model);
  const { logits } = forward(graft(model, adapter), hubBatch(base));
  const numbers = [...await read(logits)];
  logits.storage.free();
  dispose(adapter.params);
  return numbers;
}

async function convert(from: string, to: string, model: Model, format: "peft" | "adapters"): Promise<void> {
  const { name: _, ...adapter } = await loadAdapter(from, model);
  try {
    await saveAdapter(to, adapter, model, { format });
  } finally {
    dispose(adapter.params);
  }
}

for (
  const kind of [
    "llama_lora",
    "bert_text_lora_everywhere",
    "t5_lora",
    "t5_ia3",
    "bert_text_ia3",
    "bert_text_vera_diagonal",
  ]
) {
  Deno.test(`${kind} goes from AdapterHub to PEFT and back`, async () => {
    const folder = Deno.makeTempDirSync();
    const base = baseOf(kind);
    const model = await loadModel(hubModel(base), { backend: reference() });
    const source = `${GOLDEN}adapter_hub_folders/${kind}`;
    await convert(source, `${folder}/peft`, model, "peft");
    await convert(`${folder}/peft`, `${folder}/adapters`, model, "adapters");
    const expected = await logitsOf(source, model, base);
    for (const name of ["peft", "adapters"]) {
      assertClose(await logitsOf(`${folder}/${name}`, model, base), expected, 1e-6, name);
    }
    model.dispose();
    Deno.removeSync(folder, { recursive: true });
  });
}

Deno.test("what the two compute otherwise is not converted", async () => {
  const folder = Deno.makeTempDirSync();
  for (
    const [kind, message] of [["llama_dora", /decomposition/], ["llama_prefix_flat", /positions/], [
      "bert_text_prompt",
      /stand before the/,
    ]] as const
  ) {
    const model = await loadModel(hubModel(baseOf(kind)), { backend: reference() });
    await assert.rejects(
      convert(`${GOLDEN}adapter_hub_folders/${kind}`, `${folder}/${kind}`, model, "peft"),
      message,
    );
    model.dispose();
  }
  assert.deepEqual([...Deno.readDirSync(folder)], []);
  Deno.removeSync(folder, { recursive: true });
});

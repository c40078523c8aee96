/**
 * AdapterHub folders that adapters 1.3 wrote give its logits (tests/oracles/adapter_hub_folders.py): tiny BERT, RoBERTa, T5,
 * Llama and GPT-2 with awkward sizes and padding. Within 1e-5 of the largest value, as for f32 sums over widths of 20 to 80
 * through two or three blocks.
 */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  type Batch,
  dispose,
  forward,
  graft,
  leaves,
  type Model,
  read,
} from "../../../core/mod.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { bottleneckAdapter } from "../../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { GOLDEN, goldenNumbers } from "../../support/golden.ts";
import { baseOf, folderBatch, hubModel } from "./cases.ts";

const kinds = [...Deno.readDirSync(`${GOLDEN}adapter_hub_folders`)].map(({ name }) => name).sort();
assert.ok(kinds.length > 120, "every folder is there");

for (const kind of kinds) {
  Deno.test(`loadAdapter() gives adapters' logits of ${kind}`, () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const base = baseOf(kind);
        const model = await loadModel(hubModel(base), { backend });
        const adapter = await loadAdapter(`${GOLDEN}adapter_hub_folders/${kind}`, model);
        const batch = folderBatch(kind);
        const { logits } = forward(graft(model, adapter), batch);
        assertClose(
          [...await read(logits)],
          textRows(
            kind,
            [...goldenNumbers(`adapter_hub_folders/${kind}/expected.safetensors`).get("logits")!],
            batch,
          ),
          1e-5,
          "logits",
        );
        logits.storage.free();
        await comesBack(adapter, model);
        dispose(adapter.params);
        model.dispose();
      })));
}

Deno.test("saveAdapter() gives a parallel PHM adapter a start that adapters has", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = await loadModel(hubModel("bert_text"), { backend });
      const folder = await Deno.makeTempDir();
      // adapters 1.3 stops at "mam_adapter" with PHM: 'PHMLayer' object has no attribute 'weight'.
      for (
        const [phm, start] of [[undefined, "mam_adapter"], [
          { dimension: 2, rank: 1, rule: "own" },
          "bert",
        ]] as const
      ) {
        const adapter = adapt(
          model,
          bottleneckAdapter({ reads: "residual", reduction: 5, ...phm && { phm } }),
        );
        await saveAdapter(folder, adapter, model, { format: "adapters" });
        const { config } = JSON.parse(await Deno.readTextFile(`${folder}/adapter_config.json`));
        assert.deepEqual([config.is_parallel, config.init_weights], [true, start]);
        dispose(adapter.params);
      }
      await Deno.remove(folder, { recursive: true });
      model.dispose();
    })));

/** Written and read again an adapter is the same to the bit, its options included. */
async function comesBack(adapter: Adapter, model: Model): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await saveAdapter(folder, adapter, model, { format: "adapters" });
    const again = await loadAdapter(folder, model);
    assert.deepEqual(again.method.config, adapter.method.config);
    const [before, after] = [new Map(leaves(adapter.params)), new Map(leaves(again.params))];
    assert.deepEqual([...after.keys()].sort(), [...before.keys()].sort());
    for (const [path, t] of before) {
      if (path.endsWith(".rotation")) {
        assertClose([...await read(after.get(path)!)], [...await read(t)], 1e-6, path);
      } else assert.deepEqual(await read(after.get(path)!), await read(t), path);
    }
    dispose(again.params);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The library gives scores for a prompt's rows too. */
function textRows(kind: string, expected: readonly number[], { inputIds }: Batch): readonly number[] {
  if (!/tags_prompt/.test(kind)) return expected;
  const [n, t] = [4, inputIds[0]!.length];
  const labels = expected.length / (inputIds.length * (n + t));
  return expected.filter((_, i) => {
    const row = Math.floor(i / labels) % (n + t);
    return kind.endsWith("after_bos") ? row === 0 || row > n : row >= n;
  });
}

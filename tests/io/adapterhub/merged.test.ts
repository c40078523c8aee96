/**
 * AdapterHub folders merged into the weights give the logits of adapters 1.3, as tests/io/adapterhub/folders.test.ts has them
 * beside the model, with the same bounds. Whether a folder merges follows from the library's formulas: LoRA, DoRA, VeRA and
 * (IA)³, alone or averaged, change W x + b linearly; a gate, a bottleneck, a prefix or a choice of rows reads the input.
 */
import assert from "node:assert/strict";
import { dispose, forward, lookup, merge, mergeLoss, read, type Tensor } from "../../../core/mod.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { loraForm } from "../../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { GOLDEN, goldenNumbers } from "../../support/golden.ts";
import { baseOf, folderBatch, hubModel } from "./cases.ts";

const HUB = `${GOLDEN}adapter_hub_folders/`;
const kinds = [...Deno.readDirSync(HUB)].map(({ name }) => name).sort();

/** Changes of W x + b that are linear in it. */
const LINEAR = /_(lora|lora_everywhere|dora|vera|vera_diagonal|dvora|mtl_lora|ia3|average_ia3|head_pooler)$/;
/** LoRA under a gate, which reads the text; alone and in an average. */
const BEHIND_A_GATE = /_(lora_left_out|lora_gated|average_lora|union)$/;

const merging = kinds.filter((kind) => LINEAR.test(kind) && !/(parallel|average)_lora$/.test(kind));
assert.ok(merging.length > 20, "every folder is there");

for (const kind of merging) {
  Deno.test(`merge() of ${kind} gives adapters' logits`, () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const model = await loadModel(hubModel(baseOf(kind)), { backend });
        const adapter = await loadAdapter(`${HUB}${kind}`, model);
        const expected = [
          ...goldenNumbers(`adapter_hub_folders/${kind}/expected.safetensors`).get("logits")!,
        ];
        for (const options of [{}, { leaves: "lazy" }] as const) {
          const merged = merge(model, adapter, options);
          const { logits } = forward(merged, folderBatch(kind));
          assertClose([...await read(logits)], expected, 1e-5, "logits");
          logits.storage.free();
          merged.dispose();
        }
        const { lost, weights } = await mergeLoss(model, adapter, { dtype: "f32" });
        assert.ok(weights.length > 0 && lost === 0, "f32 holds the merged numbers as they are");
        dispose(adapter.params);
        model.dispose();
      })));
}

for (const kind of kinds.filter((kind) => BEHIND_A_GATE.test(kind))) {
  Deno.test(`merge() refuses ${kind}, whose gate reads the input`, () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const model = await loadModel(hubModel(baseOf(kind)), { backend });
        const adapter = await loadAdapter(`${HUB}${kind}`, model);
        assert.throws(() => merge(model, adapter), /depends on the input|no weight can hold it/);
        dispose(adapter.params);
        model.dispose();
      })));
}

Deno.test("merge() of bert_text_dora scales rows and biases by m over the norm of W + B A", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = await loadModel(hubModel("bert_text"), { backend });
      const adapter = await loadAdapter(`${HUB}bert_text_dora`, model);
      const merged = merge(model, adapter);
      const at = "bert.encoder.layer.0.attention.self.query";
      const numbers = (tree: Parameters<typeof lookup>[0], leaf: string) =>
        read(lookup(tree, `${at}.${leaf}`) as Tensor);
      const [w, bias] = [await numbers(model.weights, "weight"), await numbers(model.weights, "bias")];
      const [a, b, m] = await Promise.all(
        ["a", "b", "magnitude"].map((leaf) => numbers(adapter.params, leaf)),
      );
      const [r, n] = [3, w.length / bias.length]; // the folder's r = 3 and α = 7
      const [weight, shift]: [number[], number[]] = [[], []];
      for (let o = 0; o < bias.length; o++) {
        const low = Array.from({ length: n }, (_, i) => {
          let sum = 0;
          for (let k = 0; k < r; k++) sum += b![o * r + k]! * a![k * n + i]!;
          return sum;
        });
        const row = [...w.subarray(o * n, (o + 1) * n)];
        const g = m![o]! / Math.hypot(...row.map((x, i) => x + low[i]!));
        weight.push(...row.map((x, i) => g * (x + 7 / 3 * low[i]!)));
        shift.push(g * bias[o]!);
      }
      assertClose([...await numbers(merged.weights, "weight")], weight, 1e-6, "weight");
      assertClose([...await numbers(merged.weights, "bias")], shift, 1e-6, "bias");
      // What is written as updates of matrices alone would lose the scaled bias.
      await assert.rejects(loraForm(model, adapter, { rank: 4 }), /changes the bias too/);
      merged.dispose();
      dispose(adapter.params);
      model.dispose();
    })));

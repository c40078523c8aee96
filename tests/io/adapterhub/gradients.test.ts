/**
 * Adapters of AdapterHub folders train as in adapters 1.3 (tests/oracles/adapter_hub_folders.py): the loss and every gradient,
 * on tiny BERT, RoBERTa, T5, Llama and GPT-2 with padding. The library's gradients stand under the names of its tensors, so they
 * are read as if they were an adapter. Loss within 1e-5, gradients within 1e-4 of the largest of a tensor, as for f32 sums over
 * widths of 20 to 80 through two or three blocks and back.
 */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { type Batch, dispose, leaves, lossAndGrad, read } from "../../../core/mod.ts";
import { openSafetensors } from "../../../formats/safetensors.ts";
import { writeSafetensors } from "../../../formats/safetensors_write.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { GOLDEN, goldenNumbers } from "../../support/golden.ts";
import { largest } from "../../support/law_numbers.ts";
import { baseOf, folderBatch, hubLabels, hubModel } from "./cases.ts";

const FOLDERS = `${GOLDEN}adapter_hub_folders/`;
const kinds = readdirSync(FOLDERS).filter((kind) =>
  readdirSync(`${FOLDERS}${kind}`).includes("gradients.safetensors")
).sort();
assert.ok(kinds.length > 50, "every case is there");

/** Parameters that the file makes of others than a linear map: a rotation of reflections. tests/methods/rescaling/loreft.test.ts has it. */
const BENT = /\.rotation$/;
const ORTHOGONAL = /loreft|union/;

/** A folder as the golden one, with gradients in the place of what they are gradients of. */
async function ofGradients(kind: string, to: string): Promise<void> {
  const gradients = goldenNumbers(`adapter_hub_folders/${kind}/gradients.safetensors`);
  const copy = async (from: string, to: string): Promise<void> => {
    mkdirSync(to);
    for (const entry of readdirSync(from, { withFileTypes: true })) {
      const [source, target] = [`${from}/${entry.name}`, `${to}/${entry.name}`];
      if (entry.isDirectory()) await copy(source, target);
      else if (/^(adapter|model_adapter_fusion)\.safetensors$/.test(entry.name)) {
        await writeSafetensors(target, gradientsOf(source, gradients));
      } else copyFileSync(source, target);
    }
  };
  await copy(`${FOLDERS}${kind}`, to);
}

function gradientsOf(path: string, gradients: ReadonlyMap<string, Float32Array>) {
  const file = openSafetensors(path);
  try {
    return [...file.tensors.values()].map(({ name, shape }) => {
      const numbers = gradients.get(`grad.${name}`) ?? new Float32Array(shape.reduce((a, b) => a * b, 1));
      const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
      return { name, dtype: "f32" as const, shape, byteLength: bytes.length, read: () => bytes };
    });
  } finally {
    file.close();
  }
}

for (const kind of kinds) {
  Deno.test(`lossAndGrad() gives adapters' loss and gradients of ${kind}`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await ofGradients(kind, `${folder}/gradients`);
      await withBackend("wasm", (backend) =>
        assertNoLeak(async () => {
          const model = await loadModel(hubModel(baseOf(kind)), { backend });
          const adapter = await loadAdapter(`${FOLDERS}${kind}`, model);
          const theirs = await loadAdapter(`${folder}/gradients`, model);
          const [own, labels] = [folderBatch(kind), hubLabels(baseOf(kind))];
          // Parallel branches answer the same.
          const times = own.inputIds.length / labels.length;
          const batch = { ...own, labels: Array.from({ length: times }, () => labels).flat() } as Batch;
          const { loss, grads } = await lossAndGrad(model, adapter, batch);
          const expected = new Map(leaves(theirs.params));
          const found = leaves(grads).filter(([path]) => !(BENT.test(path) && ORTHOGONAL.test(kind)));
          assertClose(
            [loss],
            goldenNumbers(`adapter_hub_folders/${kind}/gradients.safetensors`).get("loss")!,
            1e-5,
            "loss",
          );
          const numbers = await Promise.all(found.map(async ([path]) => await read(expected.get(path)!)));
          // What vanishes but for rounding (the bias of keys under a softmax) is measured against the other gradients.
          const floor = 1e-2 * largest(numbers.flatMap((values) => [...values]));
          assert.ok(floor > 0, "something trains");
          for (const [i, [path, t]] of found.entries()) {
            assertClose([...await read(t), floor], [...numbers[i]!, floor], 1e-4, path);
          }
          dispose(grads);
          dispose(theirs.params);
          dispose(adapter.params);
          model.dispose();
        }));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

/**
 * X-LoRA folders (tests/oracles/peft_prompt_folders.py): whole ones, which PEFT reads, load and are written again; those that
 * PEFT saved have lost their router. Tolerances: 1e-5 of the largest logit and 1e-4 of the largest gradient.
 */
import assert from "node:assert/strict";
import {
  type Adapter,
  dispose,
  forward,
  graft,
  keep,
  leaves,
  lossAndGrad,
  type Model,
  read,
} from "../../../core/mod.ts";
import { openSafetensors } from "../../../formats/safetensors.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { lora, xlora } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { GOLDEN } from "../../support/golden.ts";
import { goldenBatch } from "../../support/golden_method.ts";

const ROOT = `${GOLDEN}peft_prompt_folders/`;

// deno-lint-ignore no-explicit-any
const json = (path: string): any => JSON.parse(Deno.readTextFileSync(path));

function tensorsOf(path: string): ReadonlyMap<string, Float32Array> {
  const file = openSafetensors(path);
  try {
    return new Map([...file.tensors.values()].map((t) => [t.name, new Float32Array(t.read().buffer)]));
  } finally {
    file.close();
  }
}

async function withModel(run: (model: Model, folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await assertNoLeak(async () => {
      const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
      await run(model, folder);
      model.dispose();
    });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

async function logitsOf(model: Model, adapter: Adapter): Promise<Float32Array> {
  const { logits } = forward(graft(model, adapter), goldenBatch());
  const numbers = await read(logits);
  logits.storage.free();
  return numbers as Float32Array;
}

for (const name of ["xlora", "xlora_deep", "xlora_plain"]) {
  Deno.test(`${name}: a whole folder gives PEFT's logits, loss and gradients, and is written again`, () =>
    withModel(async (model, folder) => {
      const adapter = await loadAdapter(`${ROOT}${name}`, model);
      const expected = tensorsOf(`${ROOT}${name}/expected.safetensors`);
      assertClose(await logitsOf(model, adapter), expected.get("logits")!, 1e-5, "logits");
      const { loss, grads } = await lossAndGrad(model, adapter, goldenBatch());
      assertClose([loss], expected.get("loss")!, 1e-5, "loss");
      await saveAdapter(`${folder}/grads`, { ...adapter, params: grads }, model);
      const saved = tensorsOf(`${folder}/grads/adapter_model.safetensors`);
      const wanted = [...expected].filter(([key]) => key.startsWith("grad."));
      assert.equal(saved.size, wanted.length);
      for (const [key, numbers] of wanted) assertClose(saved.get(key.slice(5))!, numbers, 1e-4, key);
      dispose(grads);

      await saveAdapter(`${folder}/own`, adapter, model);
      for (const part of ["", "experts/0/", "experts/1/"]) {
        const [ours, theirs] = [`${folder}/own/${part}`, `${ROOT}${name}/${part}`];
        assert.deepEqual(
          new Map([...tensorsOf(`${ours}adapter_model.safetensors`)].sort()),
          new Map([...tensorsOf(`${theirs}adapter_model.safetensors`)].sort()),
        );
        const [a, b] = [ours, theirs].map((path) => json(`${path}adapter_config.json`));
        if (part === "") {
          assert.deepEqual(a.adapters, { "0": `${folder}/own/experts/0`, "1": `${folder}/own/experts/1` });
          delete a.adapters, delete b.adapters;
        }
        delete a.base_model_name_or_path, delete b.base_model_name_or_path;
        const sorted = (config: Record<string, unknown>) => ({
          ...config,
          target_modules: [config["target_modules"]].flat().sort(),
        });
        assert.deepEqual(sorted(a), sorted(b));
      }
      // Moved elsewhere, the experts are still beside the router.
      await Deno.rename(`${folder}/own`, `${folder}/moved`);
      const again = await loadAdapter(`${folder}/moved`, model);
      assert.deepEqual(await logitsOf(model, again), await logitsOf(model, adapter));
      dispose([again.params, adapter.params]);
    }));

  Deno.test(`${name}: the folder that PEFT saved is refused, since it has lost the router`, () =>
    withModel(async (model, folder) => {
      for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
        await Deno.copyFile(`${ROOT}${name}_lost/${file}`, `${folder}/${file}`);
      }
      for (const i of [0, 1]) {
        await Deno.mkdir(`${folder}/experts/${i}`, { recursive: true });
        for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
          await Deno.copyFile(`${ROOT}${name}/experts/${i}/${file}`, `${folder}/experts/${i}/${file}`);
        }
      }
      await assert.rejects(
        loadAdapter(folder, model),
        /layers\.0\.weight".*PEFT drops parts of X-LoRA's router/,
      );
    }));
}

Deno.test("saveAdapter() refuses experts' names that PEFT loses, and keeps experts that trained", () =>
  withModel(async (model, folder) => {
    const method = lora({ rank: 2, initialization: "none" });
    const roots = [0, 1].map((key) => keep(method.init({ model, key })));
    const [one, two] = roots.map((root) => ({ method, params: root.tree }));
    const named = xlora({ experts: { math: one!, code: two! } });
    const params = keep(named.init({ model, key: 2 }));
    await assert.rejects(
      saveAdapter(folder, { method: named, params: params.tree }, model),
      /an expert "math" for PEFT: it calls experts by their number.*name them "0", "1"/,
    );
    const all = xlora({
      experts: { 0: one!, 1: two! },
      trains: "all",
      depth: 2,
      size: 3,
      routes: "layerwise",
    });
    const trained = keep(all.init({ model, key: 2 }));
    const adapter = { method: all, params: trained.tree };
    await saveAdapter(folder, adapter, model);
    const again = await loadAdapter(folder, model);
    assert.deepEqual(
      leaves(again.params).map(([path]) => path).sort(),
      leaves(adapter.params).map(([path]) => path).sort(),
    );
    assert.deepEqual(await logitsOf(model, again), await logitsOf(model, adapter));
    dispose(again.params);
    const config = json(`${folder}/adapter_config.json`);
    await Deno.writeTextFile(
      `${folder}/adapter_config.json`,
      JSON.stringify({ ...config, scaling_pass_value: 0.5 }),
    );
    await assert.rejects(loadAdapter(folder, model), /scaling_pass_value.*first pass/);
    for (const root of [params, trained, ...roots]) root.dispose();
  }));

/**
 * Heads of AdapterHub's own classes (BertAdapterModel and its like) in folders that adapters 1.3 wrote: loaded and saved again
 * they are the library's files: the same fields, and the same tensors under the same names, to the bit.
 */
import assert from "node:assert/strict";
import { type Adapter, compose, dispose, leaves, lossAndGrad, read } from "../../../core/mod.ts";
import { openSafetensors } from "../../../formats/safetensors.ts";
import { exists } from "../../../io/inspect_contents.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { modulesToSave } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { inFolder } from "../../support/folder.ts";
import { GOLDEN } from "../../support/golden.ts";
import { baseOf, hubBatch, hubLabels, hubModel } from "./cases.ts";

const HUB = `${GOLDEN}adapter_hub_folders/`;

const json = (path: string) => JSON.parse(Deno.readTextFileSync(path));

/** The folders with heads in a folder, itself or one below it. */
const headsIn = (path: string): readonly string[] =>
  ["", ...[...Deno.readDirSync(path)].filter(({ isDirectory }) => isDirectory).map(({ name }) => `${name}/`)]
    .filter((at) => exists(`${path}/${at}head_config.json`)).sort();

const kinds = [...Deno.readDirSync(HUB)].map(({ name }) => name)
  .filter((kind) =>
    headsIn(`${HUB}${kind}`).some((at) => json(`${HUB}${kind}/${at}head_config.json`).config !== null)
  )
  .sort();
assert.ok(kinds.length >= 10, "every folder with a head of the library's is there");

function tensorsOf(path: string): readonly unknown[] {
  const file = openSafetensors(path);
  try {
    return [...file.tensors.values()].map(({ name, shape, dtype, read }) => ({
      name,
      shape,
      dtype,
      bytes: read(),
    }))
      .sort((a, b) => a.name < b.name ? -1 : 1);
  } finally {
    file.close();
  }
}

const numbersOf = async ({ params }: Adapter): Promise<unknown> =>
  Object.fromEntries(
    await Promise.all(leaves(params).map(async ([path, t]) => [path, [t.shape, await read(t)]])),
  );

for (const kind of kinds) {
  Deno.test(`saveAdapter() writes the head of ${kind} as adapters did`, () =>
    assertNoLeak(async () => {
      const model = await loadModel(hubModel(baseOf(kind)), { backend: reference() });
      const adapter = await loadAdapter(`${HUB}${kind}`, model);
      await inFolder(async (folder) => {
        await saveAdapter(folder, adapter, model, { format: "adapters" });
        // A head with the model's own numbers is none of the adapter's.
        const differs = "head" in adapter.params;
        assert.equal(differs, baseOf(kind).includes("bert"));
        const places = headsIn(folder);
        assert.deepEqual(places, differs ? headsIn(`${HUB}${kind}`) : []);
        for (const at of places) {
          const [ours, theirs] = [`${folder}/${at}`, `${HUB}${kind}/${at}`];
          const source = { model_name: model.source ?? "" };
          const { model_name: _, ...fields } = json(`${theirs}head_config.json`);
          assert.deepEqual(json(`${ours}head_config.json`), { ...fields, ...source });
          const [own, wanted] = [ours, theirs].map((path) => json(`${path}adapter_config.json`));
          assert.equal(own.model_class, wanted.model_class);
          for (const file of ["model_head.safetensors", "adapter.safetensors"]) {
            assert.deepEqual(tensorsOf(`${ours}${file}`), tensorsOf(`${theirs}${file}`), `${at}${file}`);
          }
        }
        const again = await loadAdapter(folder, model);
        assert.deepEqual(again.method.config, adapter.method.config);
        assert.deepEqual(await numbersOf(again), await numbersOf(adapter));
        // A head of the library's is one in our own form, too.
        await saveAdapter(`${folder}/graft`, { ...adapter, name: "default" }, model, { format: "graft" });
        const own = await loadAdapter(`${folder}/graft`, model);
        await saveAdapter(`${folder}/back`, { ...own, name: adapter.name! }, model, { format: "adapters" });
        for (const at of places) {
          for (const file of ["head_config.json", "model_head.safetensors"]) {
            assert.deepEqual(
              Deno.readFileSync(`${folder}/back/${at}${file}`),
              Deno.readFileSync(`${folder}/${at}${file}`),
            );
          }
        }
        dispose([again.params, own.params]);
      });
      dispose(adapter.params);
      model.dispose();
    }));
}

Deno.test("saveAdapter() takes layers of a head that are the model's own from it, but not beside gradients", () =>
  assertNoLeak(async () => {
    const model = await loadModel(hubModel("bert_text"), { backend: reference() });
    const adapter = await loadAdapter(`${HUB}bert_text_head`, model);
    const { head, adapter: rest } = adapter.params as Readonly<Record<string, Adapter["params"]>>;
    const saved = adapter.method.components!["head"]!.config;
    assert.deepEqual(saved["modules"], ["bert.pooler.dense", "classifier"]);
    // The same head, of which the classifier alone differs from the model's.
    const part = { ...saved, modules: ["classifier"] } as unknown as Parameters<
      typeof modulesToSave
    >[0];
    const body = await loadAdapter(`${HUB}bert_text_seq_bn`, model); // of the same options
    const method = compose({
      head: modulesToSave(part),
      adapter: body.method,
    }) as unknown as Adapter["method"];
    const own = { name: "a", method, params: { head: { classifier: head!["classifier"]! }, adapter: rest! } };
    await inFolder(async (folder) => {
      await saveAdapter(folder, own, model, { format: "adapters" });
      const again = await loadAdapter(folder, model);
      assert.deepEqual(await numbersOf(again), await numbersOf(own));
      dispose(again.params);
    });
    const labelled = { ...hubBatch("bert_text"), labels: hubLabels("bert_text") };
    const { grads } = await lossAndGrad(model, own, labelled);
    await inFolder((folder) =>
      assert.rejects(
        saveAdapter(folder, { ...own, params: grads }, model, { format: "adapters" }),
        /Cannot save the gradients of .*pooler\.dense/,
      )
    );
    dispose([grads, adapter.params, body.params]);
    model.dispose();
  }));

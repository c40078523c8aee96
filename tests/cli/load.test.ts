/** What commands say when an adapter was saved for another base, and of folders that are no model. */
import assert from "node:assert/strict";
import { relative } from "node:path";
import { openModel } from "../../cli/load.ts";
import { modelSource } from "../../cli/model_source.ts";
import { changedOption } from "../../tuning/run_identity.ts";
import { adapt, dispose } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { sameBaseName } from "../../io/base_model_name.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { houlsby, lora } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { temporaryFolder, tinyModel } from "./tiny.ts";
import { hearStreams } from "../support/standard_streams.ts";

/** What goes to standard error while something runs. */
async function notesOf(run: () => Promise<void>): Promise<string> {
  let said = "";
  using _ = hearStreams(undefined, (chunk) => said += chunk);
  await run();
  return said;
}

Deno.test("openModel() notes an adapter that was saved for a base of another name, once", async () => {
  using folder = temporaryFolder();
  const path = tinyModel(folder.path);
  const model = await loadModel(path, { backend: reference() });
  const bases = { "elsewhere/MODEL.Q4_1.gguf": false, "org/other": true, "": false };
  for (
    const [name, method] of Object.entries({ peft: lora({ rank: 1 }), graft: houlsby({ reduction: 4 }) })
  ) {
    const adapter = adapt(model, method);
    for (const [base, noted] of Object.entries(bases)) {
      const to = `${folder.path}/${name}-${noted}-${base.length}`;
      await saveAdapter(to, adapter, { ...model, source: base }, { format: name as "peft" | "graft" });
      const said = await notesOf(async () =>
        (await openModel({ model: path, backend: "reference", adapter: to })).close()
      );
      assert.equal(
        said.match(/^Note: the adapter .* was saved for "org\/other" and fits ".*model" in shape/gm)
          ?.length ??
          0,
        noted ? 1 : 0,
        said,
      );
    }
    dispose(adapter.params);
  }
  model.dispose();
});

Deno.test("a command without --model takes the one that its adapter names: a path, one beside the adapter, a hub id", async () => {
  using folder = temporaryFolder();
  const path = tinyModel(folder.path);
  const model = await loadModel(path, { backend: reference() });
  const adapter = adapt(model, lora({ rank: 1 }));
  const to = `${folder.path}/adapter`;
  const namedBy = async (source: string): Promise<string> => {
    await saveAdapter(to, adapter, { ...model, source });
    return await modelSource({ adapter: to });
  };
  assert.equal(await namedBy(path), path);
  assert.equal(await namedBy(relative(".", path)), path, "relative to where the command runs");
  assert.equal(await namedBy("../model"), path, "relative to the adapter");
  assert.equal(await namedBy("model"), path, "beside the adapter");
  assert.equal(await namedBy("org/name"), "org/name");
  await assert.rejects(
    namedBy("/nowhere/model"),
    /Expected --model: the adapter ".*adapter" belongs to "\/nowhere\/model", which is not here/,
  );
  await assert.rejects(
    namedBy(""),
    /Expected --model: the adapter ".*" does not say which model it belongs to/,
  );
  assert.equal(await modelSource({ adapter: to, model: "mine" }), "mine", "what is given comes first");
  await assert.rejects(modelSource({}), /Expected --model: a folder, a \.gguf file or a hub id/);
  assert.match(await modelSource({ model: "embedded" }), /embedded.model$/);

  await saveAdapter(to, adapter, { ...model, source: "../model" });
  const opened = await openModel({ backend: "reference", adapter: to });
  assert.equal(opened.base.source, path);
  opened.close();
  dispose(adapter.params);
  model.dispose();
});

Deno.test("sameBaseName() compares last parts without what says how numbers are stored", () => {
  const id = "HuggingFaceTB/SmolLM2-135M-Instruct";
  for (
    const same of [
      id,
      "models/SmolLM2-135M-Instruct.Q4_1.gguf",
      "/x/smollm2-135m-instruct-f16.gguf",
      "SmolLM2-135M-Instruct/",
      "/hub/models--HuggingFaceTB--SmolLM2-135M-Instruct/snapshots/7e27",
    ]
  ) assert.ok(sameBaseName(id, same), same);
  for (const other of ["HuggingFaceTB/SmolLM2-135M", "org/SmolLM2-360M-Instruct", "/hub/snapshots/7e27"]) {
    assert.ok(!sameBaseName(id, other), other);
  }
});

Deno.test("loadModel() says that a folder holds an adapter, and which checkpoint lacks a tensor", async () => {
  using folder = temporaryFolder();
  const path = tinyModel(folder.path);
  const model = await loadModel(path, { backend: reference() });
  const adapter = adapt(model, lora({ rank: 1 }));
  await saveAdapter(`${folder.path}/adapter`, adapter, model);
  dispose(adapter.params);
  model.dispose();
  await assert.rejects(
    loadModel(`${folder.path}/adapter`, { backend: reference() }),
    /Cannot open ".*adapter": it holds an adapter, not a model; .*--model.*--adapter/,
  );
  const config = JSON.parse(Deno.readTextFileSync(`${path}/config.json`));
  const more = { ...config, num_hidden_layers: config.num_hidden_layers + 1 };
  Deno.writeTextFileSync(`${path}/config.json`, JSON.stringify(more));
  await assert.rejects(
    loadModel(path, { backend: reference() }),
    /The checkpoint ".*model" has no tensor "model\.layers\.2\.self_attn\.q_proj\.weight"/,
  );
});

Deno.test("changedOption() says that an option was not given", () => {
  assert.deepEqual(changedOption({ rank: null }, { rank: 4 }), { name: "rank", was: "not given", is: "4" });
  assert.equal(changedOption({ rank: null }, {}), undefined);
});

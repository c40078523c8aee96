/** AdapterHub folders that do not fit, and adapters that AdapterHub would compute otherwise, are refused by name. */
import assert from "node:assert/strict";
import { adapt, dispose, type Method } from "../../../core/mod.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import {
  dora,
  ia3,
  lora,
  parallelAdapter,
  pfeiffer,
  prefixTuning,
  promptTuning,
} from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { GOLDEN } from "../../support/golden.ts";
import { hubModel } from "./cases.ts";

const SEQ = `${GOLDEN}adapter_hub_folders/bert_text_seq_bn`;

/** A copy of a golden folder with its config changed. */
function changed(folder: string, change: (config: Record<string, unknown>) => void): string {
  const path = `${folder}/${crypto.randomUUID()}`;
  Deno.mkdirSync(path);
  Deno.copyFileSync(`${SEQ}/adapter.safetensors`, `${path}/adapter.safetensors`);
  const config = JSON.parse(Deno.readTextFileSync(`${SEQ}/adapter_config.json`));
  change(config);
  Deno.writeTextFileSync(`${path}/adapter_config.json`, JSON.stringify(config));
  return path;
}

Deno.test("loadAdapter() refuses AdapterHub folders that do not fit, and says what does not", async () => {
  const folder = Deno.makeTempDirSync();
  const model = await loadModel(hubModel("bert_text"), { backend: reference() });
  type Fields = Record<string, unknown>;
  const inner = (fields: Fields) => (config: Fields) => Object.assign(config["config"] as Fields, fields);
  const cases: readonly (readonly [(config: Fields) => void, RegExp])[] = [
    [inner({ twist: 2 }), /the field "twist" \(2\)/],
    [inner({ architecture: "moebius" }), /architecture "moebius" is not known/],
    [inner({ non_linearity: "mish" }), /non-linearity "mish"/],
    [inner({ original_ln_after: false }), /original_ln_after false/],
    [inner({ inv_adapter: "glow" }), /"glow", known is "nice"/],
    [inner({ leave_out: "none" }), /"leave_out".* list/],
    [inner({ reduction_factor: 4 }), /adapter_down\.0\.weight": expected \[5, 20\] but found \[4, 20\]/],
    [inner({ mh_adapter: true }), /attention\.output\.adapters\.a\.adapter_down\.0\.weight" is missing/],
    [inner({ leave_out: [2] }), /layer\.2\..*is not expected/],
    [
      inner({ leave_out: [0, 1, 2] }),
      /no feedForward part for it outside of blocks 0, 1, 2, which leave_out names/,
    ],
    [(config) => config["name"] = "b", /adapters\.b\..*is missing/],
    [(config) => config["model_type"] = "roberta", /for a roberta, but the model is a bert/],
    [(config) => config["hidden_size"] = 24, /width of 24/],
  ];
  for (const [change, message] of cases) {
    await assert.rejects(loadAdapter(changed(folder, change), model), message);
  }
  const pickled = changed(folder, () => {});
  Deno.renameSync(`${pickled}/adapter.safetensors`, `${pickled}/pytorch_adapter.bin`);
  await assert.rejects(loadAdapter(pickled, model), /pytorch_adapter\.bin is a pickle file/);
  model.dispose();
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("saveAdapter() refuses what AdapterHub would compute otherwise, and writes nothing", async () => {
  const folder = Deno.makeTempDirSync();
  const backend = reference();
  const bert = await loadModel(hubModel("bert_text"), { backend });
  const llama = await loadModel(hubModel("llama"), { backend });
  const cases: readonly (readonly [typeof bert, Method, RegExp])[] = [
    [bert, dora({ rank: 2 }), /decomposition "adapterHub"/],
    [bert, ia3(), /has its input scaled/],
    [bert, promptTuning({ length: 2 }) as unknown as Method, /where "entered"/],
    [
      bert,
      lora({ rank: 2, targets: ["attention.output.dense"] }),
      /"bert\.encoder\.layer\.0\.attention\.output\.dense"/,
    ],
    [bert, lora({ rank: 2, rankPattern: { value: 3 } }), /one rank and factor/],
    [llama, parallelAdapter(), /reads "residual"/],
    [llama, prefixTuning({ length: 2, network: "none" }), /positions "none"/],
    [llama, promptTuning({ length: 2 }) as unknown as Method, /BERT and RoBERTa alone/],
  ];
  for (const [model, method, message] of cases) {
    const adapter = adapt(model, method);
    await assert.rejects(saveAdapter(folder, adapter, model, { format: "adapters" }), message);
    dispose(adapter.params);
  }
  const named = { ...adapt(bert, pfeiffer()), name: "a.b" };
  await assert.rejects(saveAdapter(folder, named, bert, { format: "adapters" }), /no dots/);
  dispose(named.params);
  assert.deepEqual([...Deno.readDirSync(folder)], []);
  bert.dispose();
  llama.dispose();
  Deno.removeSync(folder, { recursive: true });
});

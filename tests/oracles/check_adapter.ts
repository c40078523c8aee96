/** Writes adapters and models for check_adapter.py: PEFT's golden adapters saved again, fresh ones, merged models. */
import { type Adapter, forward, graft, merge, type Model, read } from "../../core/mod.ts";
import { writeSafetensors } from "../../formats/safetensors_write.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { saveModel } from "../../io/save_model.ts";
import { mapTree, scope, type Synchronous, type Tree } from "../../core/mod.ts";
import { combine, compose, dora, eva, ia3, loftq, loha, lora, loraPlus, type Method } from "../../mod.ts";
import { modulesToSave, olora, onOriginal, pissa, toLora, trainableTokens } from "../../mod.ts";
import { add } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { caseFolders, PEFT_FOLDERS } from "../support/golden.ts";

const golden = new URL("golden/", import.meta.url).pathname;
const root = Deno.args[0]!;
const batch = JSON.parse(Deno.readTextFileSync(`${golden}peft_folders/batch.json`));
const backend = reference();

async function note(folder: string, model: Model, base?: string): Promise<void> {
  const { logits } = forward(model, batch);
  const bytes = new Uint8Array((await read(logits)).buffer);
  const { shape } = logits;
  await writeSafetensors(`${folder}/ours.safetensors`, [
    { name: "logits", dtype: "f32", shape, byteLength: bytes.length, read: () => bytes },
  ]);
  Deno.writeTextFileSync(`${folder}/case.json`, JSON.stringify({ base }));
}

async function both(
  name: string,
  base: string,
  adapterOf: (model: Model) => Promise<Adapter>,
): Promise<void> {
  const model = await loadModel(golden + base, { backend });
  const adapter = await adapterOf(model);
  await saveAdapter(`${root}/${name}`, adapter, model);
  await note(`${root}/${name}`, graft(model, adapter), base);
  if (name === "lora_bias") return; // its merged biases have no place in a Qwen2 checkpoint
  const merged = merge(model, adapter);
  await saveModel(`${root}/${name}_merged`, merged);
  await note(`${root}/${name}_merged`, merged);
}

for (const [name, path] of caseFolders(PEFT_FOLDERS)) {
  const from = golden + path;
  const { base } = JSON.parse(Deno.readTextFileSync(`${from}/case.json`));
  await both(name, base, (model) => loadAdapter(from, model));
}

/** Methods with options that no golden folder has; random from the start. */
const fresh: Readonly<Record<string, readonly [string, Method]>> = {
  ours_regex: [
    "llama_lora/base",
    lora({ targets: /.*\.(?<n>q|down)_proj/, initialization: "none", rank: 5 }),
  ],
  ours_predicate: [
    "peft_folders/bases/qwen2",
    lora({ targets: (place) => place.layer === 1 && place.kind === "linear", initialization: "none" }),
  ],
  ours_layers: [
    "peft_folders/bases/gpt2",
    lora({ layers: [1], initialization: "none", alpha: 3, scaling: "rankStabilized" }),
  ],
  ours_ia3: ["peft_folders/bases/gpt2", ia3({ targets: /.*c_(attn|fc)/, feedForward: ["c_fc"] })],
  ours_all: [
    "peft_folders/bases/llama_untied",
    compose({
      tokens: trainableTokens({ tokens: [1, 8] }),
      saved: modulesToSave({ modules: ["model.norm"] }),
      main: dora({ targets: "all-linear", initialization: "none", rank: 2 }),
    }),
  ],
};
for (const [name, [base, method]] of Object.entries(fresh)) {
  await both(name, base, (model) => Promise.resolve({ method, params: method.init({ model, key: 4 }) }));
}

/** Adapters that were computed: from the weights, the activations, other adapters. */
const TARGETS = { rank: 3, alpha: 5, targets: ["q_proj", "down_proj"] } as const;
const random = (model: Model, method: Method, key: number): Adapter => ({
  method,
  params: method.init({ model, key }),
});
const computed: Readonly<Record<string, (model: Model) => Promise<Adapter>>> = {
  ours_pissa: async (model) => {
    const prepared = await pissa(model, TARGETS);
    const trained = random(prepared.model, lora({ ...TARGETS, initialization: "none" }), 2);
    return (await onOriginal(model, prepared, trained)).adapter;
  },
  ours_olora: async (model) => (await onOriginal(model, await olora(model, TARGETS))).adapter,
  ours_loftq: async (model) =>
    (await onOriginal(model, await loftq(model, TARGETS), undefined, { rank: 5 })).adapter,
  ours_eva: async (model) => {
    const found = await eva(model, [batch], { rank: 1, targets: ["q_proj", "o_proj", "down_proj"] });
    const params = random(model, found.adapter.method, 3).params;
    return { ...found.adapter, params: scope((): Synchronous<Tree> => mapTree(params, (t) => add(t, 0.1))) };
  },
  ours_combined: async (model) => {
    const parts = [
      random(model, lora({ ...TARGETS, initialization: "none" }), 5),
      random(model, dora({ rank: 1 }), 6),
    ];
    return (await combine(model, parts, [0.7, -2], { method: "ties", density: 0.5 })).adapter;
  },
  ours_converted: async (model) =>
    (await toLora(model, random(model, loha({ rank: 2, initialization: "none" }), 7), { error: 0.2 }))
      .adapter,
  ours_plus: (model) => Promise.resolve(random(model, loraPlus({ ...TARGETS, initialization: "none" }), 8)),
};
for (const [name, adapterOf] of Object.entries(computed)) {
  await both(name, "peft_folders/bases/qwen2", adapterOf);
}

/** Writes adapters and models for check_adapter.py: PEFT's golden adapters saved again, fresh ones, merged models. */
import { type Adapter, forward, graft, merge, type Model, read } from "../../core/mod.ts";
import { writeSafetensors } from "../../formats/safetensors_write.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { saveModel } from "../../io/save_model.ts";
import { compose, dora, ia3, lora, type Method, modulesToSave, trainableTokens } from "../../mod.ts";
import { reference } from "../../ops/reference/mod.ts";

const golden = new URL("golden/", import.meta.url).pathname;
const root = Deno.args[0]!;
const batch = JSON.parse(Deno.readTextFileSync(`${golden}peft/batch.json`));
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

for (const entry of Deno.readDirSync(`${golden}peft`)) {
  const from = `${golden}peft/${entry.name}`;
  if (!entry.isDirectory || !await Deno.stat(`${from}/case.json`).then(() => true, () => false)) continue;
  const { base } = JSON.parse(Deno.readTextFileSync(`${from}/case.json`));
  await both(entry.name, base, (model) => loadAdapter(from, model));
}

/** Methods with options that no golden folder has; random from the start. */
const fresh: Readonly<Record<string, readonly [string, Method]>> = {
  ours_regex: [
    "llama_tiny/base",
    lora({ targets: /.*\.(?<n>q|down)_proj/, initialization: "none", rank: 5 }),
  ],
  ours_predicate: [
    "peft/bases/qwen2",
    lora({ targets: (place) => place.layer === 1 && place.kind === "linear", initialization: "none" }),
  ],
  ours_layers: [
    "peft/bases/gpt2",
    lora({ layers: [1], initialization: "none", alpha: 3, scaling: "rankStabilized" }),
  ],
  ours_ia3: ["peft/bases/gpt2", ia3({ targets: /.*c_(attn|fc)/, feedForward: ["c_fc"] })],
  ours_all: [
    "peft/bases/llama_untied",
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

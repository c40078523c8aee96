/**
 * PEFT → graft's own form → PEFT, as `graft convert` goes: every folder that PEFT wrote comes back with equal tensors, and so
 * does every method that PEFT knows, at drawn sizes, on Llama, GPT-2 (whose layers lie transposed) and Qwen2 (whose have biases).
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  adapt,
  type Adapter,
  bytesOf,
  dispose,
  leaves,
  type Method,
  type Model,
  type Tree,
} from "../../core/mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { exists } from "../../io/inspect_contents.ts";
import { modelOfAdapter } from "../../io/layer_replication.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import {
  adalora,
  beft,
  boft,
  c3a,
  contextPromptTuning,
  deft,
  dora,
  fourierft,
  glora,
  gralora,
  hira,
  hra,
  ia3,
  layerNormTune,
  lily,
  loha,
  lokr,
  lora,
  miss,
  multitaskPromptTuning,
  oft,
  osf,
  peanut,
  poly,
  prefixTuning,
  promptTuning,
  pvera,
  randlora,
  tinyLora,
  trainableTokens,
  uniLora,
  vbLora,
  vera,
  waveft,
} from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { inFolder } from "../support/folder.ts";
import { caseFolders, GOLDEN, madeBy, PEFT_FOLDERS, PEFT_PROMPT_FOLDERS } from "../support/golden.ts";

type Stored = Readonly<
  Record<string, { readonly shape: readonly number[]; readonly dtype: string; bytes: Uint8Array }>
>;

function stored(folder: string): Stored {
  const file = openSafetensors(`${folder}/adapter_model.safetensors`);
  try {
    return Object.fromEntries(
      [...file.tensors.values()].map((t) => [t.name, { shape: t.shape, dtype: t.dtype, bytes: t.read() }]),
    );
  } finally {
    file.close();
  }
}

/** Through our own form and back into PEFT's; the parameters on the way are equal to the bit. */
async function round(folder: string, adapter: Adapter, model: Model): Promise<Stored> {
  await saveAdapter(`${folder}/graft`, adapter, model, { format: "graft" });
  const ours = await loadAdapter(`${folder}/graft`, model);
  assert.deepEqual(await numbersOf(ours.params), await numbersOf(adapter.params));
  await saveAdapter(`${folder}/peft`, ours, model, { format: "peft" });
  dispose(ours.params);
  return stored(`${folder}/peft`);
}

async function numbersOf(params: Tree): Promise<Readonly<Record<string, unknown>>> {
  const numbers = leaves(params).map(async (
    [path, t],
  ) => [path, { shape: t.shape, bytes: await bytesOf(t) }]);
  return Object.fromEntries(await Promise.all(numbers));
}

const CASES = [PEFT_FOLDERS, PEFT_PROMPT_FOLDERS].flatMap((scripts) => [...caseFolders(scripts).values()])
  .map((path) => GOLDEN + path).filter((path) => exists(`${path}/adapter_model.safetensors`)).sort();

/** Where our folder differs from PEFT's, as tests/io/peft/folders and prompts say: both ways are compared with each other. */
const REWRITTEN = [
  "head_ensured", // both targets by name, so that PEFT would write the tables beside them
  "oft_unprojected", // loading pulls COFT's parameters back, as PEFT's next forward pass would
  ...["p_tuning_t5_lstm", "p_tuning_t5_mlp", "prompt_t5"], // half of PEFT's rows are never read
  ...["prefix_t5", "prefix_t5_gated", "prefix_t5_network"],
  ...["parameters_beside", "parameters_turned"], // layers by name
];

for (const path of CASES) {
  const name = path.split("/").at(-1)!;
  Deno.test(`PEFT's folder through graft's own form and back has equal tensors: ${name}`, () =>
    assertNoLeak(async () => {
      const { base } = JSON.parse(Deno.readTextFileSync(`${path}/case.json`));
      const loaded = await loadModel(GOLDEN + base, { backend: reference() });
      const model = await modelOfAdapter(path, loaded);
      const adapter = await loadAdapter(path, model);
      await inFolder(async (folder) => {
        const found = await round(folder, adapter, model);
        if (REWRITTEN.includes(name)) {
          await saveAdapter(`${folder}/direct`, adapter, model, { format: "peft" });
        }
        assert.deepEqual(found, stored(REWRITTEN.includes(name) ? `${folder}/direct` : path));
      });
      dispose(adapter.params);
      loaded.dispose();
    }));
}

for (const [name, field] of [["delora", "lambda_pattern"], ["c3a", "block_size_pattern"]] as const) {
  Deno.test(`patterns that decide nothing stand in no one's way into our own form: ${field}`, () =>
    assertNoLeak(async () => {
      const path = GOLDEN + madeBy(PEFT_FOLDERS, name);
      const { base } = JSON.parse(Deno.readTextFileSync(`${path}/case.json`));
      const model = await loadModel(GOLDEN + base, { backend: reference() });
      await inFolder(async (folder) => {
        const config = JSON.parse(Deno.readTextFileSync(`${path}/adapter_config.json`));
        const loose = { ...config, [field]: { ...config[field], nothing: 3 } };
        Deno.writeTextFileSync(`${folder}/adapter_config.json`, JSON.stringify(loose));
        Deno.copyFileSync(`${path}/adapter_model.safetensors`, `${folder}/adapter_model.safetensors`);
        const adapter = await loadAdapter(folder, model);
        assert.deepEqual(await round(folder, adapter, model), stored(path));
        dispose(adapter.params);
      });
      model.dispose();
    }));
}

const BASES = [
  "peft_folders/bases/llama_untied",
  "peft_folders/bases/gpt2",
  "peft_folders/bases/qwen2",
] as const;

/** Methods of drawn sizes, each as PEFT can hold it. */
const METHODS: Readonly<Record<string, (r: number, seed: number) => Method>> = {
  lora: (rank, seed) => lora({ rank, alpha: seed + 1, initialization: "none" }),
  "lora, rank stabilized": (rank) => lora({ rank, scaling: "rankStabilized", targets: "all-linear" }),
  dora: (rank) => dora({ rank, initialization: "none" }),
  adalora: (rank) => adalora({ rank: rank + 1, targetRank: rank, totalSteps: 10 }),
  loha: (rank) => loha({ rank, initialization: "none" }),
  lokr: (rank) => lokr({ rank, initialization: "none" }),
  lily: (rank, seed) => lily({ rank, stride: 1 + seed % 3, mean: "batch", initialization: "none" }),
  vera: (rank, seed) => vera({ rank, projectionSeed: seed }),
  oft: (r) => oft({ blocks: { size: r }, uneven: "nearest" }),
  boft: () => boft({ blocks: { size: 2 } }),
  hra: (r) => hra({ rank: 2 * r }),
  miss: (rank) => miss({ rank }),
  c3a: (r) => c3a({ block: r === 4 ? 1 : r }),
  deft: (rank) => deft({ rank, projection: "qr" }),
  peanut: (rank, seed) => peanut({ rank, depth: seed % 3, initialization: "none" }),
  beft: () => beft(),
  randlora: (rank, seed) => randlora({ rank, projectionSeed: seed }),
  vbLora: (rank) => vbLora({ rank, vectors: 2 + rank, length: 2 }),
  uniLora: (rank, projectionSeed) =>
    uniLora({ rank, projectionSeed, dimension: 9, assignment: "balanced", bound: 1 }),
  pvera: (rank, seed) => pvera({ rank, projectionSeed: seed }),
  tinyLora: (rank, seed) => tinyLora({ rank, dimension: 1 + seed % 5, tying: rank / 4 }),
  fourierft: (r, seed) => fourierft({ frequencies: 3 * r, positionSeed: seed }),
  hira: (rank) => hira({ rank, initialization: "gaussian" }),
  gralora: (rank, seed) => gralora({ rank: 2 * rank, hybridRank: seed % 2, initialization: "none" }),
  waveft: (r, seed) => waveft({ frequencies: 3 * r, positionSeed: seed, wavelet: "coif1" }),
  ia3: () => ia3(),
  layerNormTune: () => layerNormTune(),
  trainableTokens: (r, seed) => trainableTokens({ tokens: [seed % 7, 7 + r] }),
  prefixTuning: (length) => prefixTuning({ length, network: "none", positions: "always" }),
  promptTuning: (length) => promptTuning({ length }) as unknown as Method,
  multitaskPromptTuning: (length, seed) =>
    multitaskPromptTuning({ length, rank: 1 + seed % 3, tasks: ["0", "1"] }) as unknown as Method,
  contextPromptTuning: (n, seed) =>
    contextPromptTuning({
      tokens: Array.from({ length: n }, (_, i) => (seed + i) % 9),
      epsilon: 1 / (1 + seed),
    }),
  poly: (rank, seed) => poly({ rank, pieces: 1 + seed % 2, tasks: ["0", "1", "2"], initialization: "none" }),
  glora: (rank, seed) => glora({ rank, c: seed % 2 === 0 ? "none" : "vector", initialization: "none" }),
  osf: (preserved) => osf({ preserved }),
};

for (const base of BASES) {
  Deno.test(`every method of drawn sizes comes back from PEFT's form with equal tensors: ${base}`, () =>
    assertNoLeak(async () => {
      const model = await loadModel(GOLDEN + base, { backend: reference() });
      const came = new Set<string>();
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...Object.keys(METHODS)),
          fc.integer({ min: 1, max: 4 }),
          fc.nat(999),
          async (name, r, seed) => {
            const adapter = adapt(model, METHODS[name]!(r, seed), seed) as Adapter;
            await inFolder(async (folder) => {
              try {
                await saveAdapter(`${folder}/first`, adapter, model, { format: "peft" });
              } catch (error) {
                // Some of PEFT's layers are for nn.Linear alone.
                assert.match((error as Error).message, /^PEFT has no \w+ on ".*", a Conv1D: /);
                return;
              }
              came.add(name);
              const loaded = await loadAdapter(`${folder}/first`, model);
              assert.deepEqual(await round(folder, loaded, model), stored(`${folder}/first`));
              dispose(loaded.params);
            });
            dispose(adapter.params);
          },
        ),
        { numRuns: 40, examples: Object.keys(METHODS).map((name) => [name, 2, 3]) },
      );
      const all = Object.keys(METHODS);
      if (base.endsWith("gpt2")) assert.ok(came.size >= 8, [...came].join());
      else assert.deepEqual([...came].sort(), all.sort());
      model.dispose();
    }));
}

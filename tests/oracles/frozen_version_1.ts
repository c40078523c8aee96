/**
 * The frozen files of version 1: an adapter folder in graft's own format for every method that could be saved in it, and
 * checkpoints of unfinished runs. Every later version must open them and compute the same.
 *
 * The code of commit bf1dc1f3 wrote them, and no later code is to write them again: they would then say what the later code
 * does, and not what version 1 did. That is also why the expected values rightly come from our own earlier output, as nowhere
 * else in this folder. What a method computes is held to other programs elsewhere; the promise here is that an old file keeps
 * its meaning.
 *
 * The program takes its code from a checkout of that commit, so that it needs none of today's and changes with none of it:
 *
 *     git worktree add /tmp/version_1 bf1dc1f3
 *     deno run -A tests/oracles/frozen_version_1.ts /tmp/version_1
 *
 * It writes to golden/frozen_version_1: `bases/` have what the adapters are for, `adapters/` one folder each, `states/`
 * training states of a run by the library and `runs/` unfinished runs of `graft finetune`. `expected.json` lists them with
 * their batches, numbers of trainable parameters and losses, `expected.safetensors` has the logits.
 *
 * Three folders are as commits before this one wrote them, still of version 1, which left something out of the config or had
 * leaves that are no longer used: those are edited after they are written, and end in `_before`.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { resolve } from "node:path";

const root = Deno.args[0];
if (root === undefined) throw new Error("Say where the checkout of the commit is");
const from = (path: string) => import(new URL(path, `file://${resolve(root)}/`).href);

const core = await from("core/mod.ts");
const { add, normal } = await from("ops/mod.ts");
const methods = await from("methods/mod.ts");
const io = await from("io/mod.ts");
const train = await from("train/mod.ts");
const { replicateLayers } = await from("models/mod.ts");
const { openSafetensors } = await from("formats/safetensors.ts");
const { writeSafetensors } = await from("formats/safetensors_write.ts");
const { METHOD_OPTIONS } = await from("io/records/method_options.ts");
const { namedMethod } = await from("io/records/named_method.ts");
const { OPTIONS } = await from("tests/support/method_options.ts");
const tiny = await from("tests/support/tiny_models.ts");
const { reference } = await from("ops/reference/mod.ts");
const { finetuned } = await from("tests/cli/in_process.ts");
const { tinyData, tinyModel } = await from("tests/cli/tiny.ts");

const OUT = new URL("golden/frozen_version_1/", import.meta.url).pathname;
const backend = reference();

// What is used of the earlier code's types.
interface Leaf {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly size: number;
  readonly backend: unknown;
}
interface Method {
  readonly name: string;
  readonly config: unknown;
  init(given: { readonly model: unknown; readonly key: number }): unknown;
}
interface Adapter {
  readonly name?: string;
  readonly method: Method;
  readonly params: { readonly [name: string]: unknown };
}
interface StoredTensor {
  readonly name: string;
  read(): Uint8Array;
}
type Options = Readonly<Record<string, unknown>>;
type Batch = Options;

/** An adapter to be frozen. */
interface Case {
  readonly model: string;
  readonly make: () => Adapter | Promise<Adapter>;
  /** What the batch has besides the model's, or instead of it. */
  readonly batch?: Batch;
  /** Ranges of layers of the model, where they are replicated. */
  readonly replicated?: readonly (readonly [number, number])[];
  /** What was different in folders of before. */
  readonly before?: (folder: string) => void | Promise<void>;
}

// Models.

const MODELS: Readonly<Record<string, unknown>> = {
  llama: tiny.tinyLlama(backend, 1),
  qwen3: tiny.tinyQwen3(backend, 2),
  gpt2: tiny.tinyGpt2(backend, 3),
  t5: tiny.tinyT5(backend, 4, { headDim: 4 }),
  bert: tiny.tinyBert(backend, 5),
};

const IDS = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]];
const TEXT = { inputIds: IDS, attentionMask: [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]] };
const BATCHES: Readonly<Record<string, Batch>> = {
  llama: TEXT,
  qwen3: TEXT,
  gpt2: TEXT,
  t5: { ...TEXT, decoderInputIds: [[0, 3, 4], [0, 9, 1]] },
  bert: { ...TEXT, tokenTypeIds: [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]] },
  letters: { inputIds: [[1, 5, 9, 13, 17], [1, 36, 20, 8, 4]] },
};
const NEXT = [[1, 2, 3, 4, 5], [6, 7, 8, 9, -100]];
const LABELS: Readonly<Record<string, readonly (number | readonly number[])[]>> = {
  llama: NEXT,
  qwen3: NEXT,
  gpt2: NEXT,
  t5: [[3, 4, 2], [9, 1, 2]],
  bert: [2, 0],
};
/** How an adapter is trained for two steps. */
const TRAINING = {
  learningRate: 0.01,
  batching: { kind: "buckets", batchSize: 1 },
  epochs: 2,
  seed: 6,
  pad: 0,
};

// Adapters.

const CASES: Record<string, Case> = {};

/** An adapter that has moved from its start. */
function moved(method: Method, model: unknown, seed = 9): Adapter {
  const params = core.scope(() =>
    core.mapTree(
      method.init({ model, key: 3 }),
      (leaf: Leaf, path: string) =>
        leaf.dtype === "f32"
          ? add(leaf, normal(core.fold(core.key(seed), path), leaf.shape, leaf.backend, 0.1))
          : leaf,
    )
  );
  return { name: "default", method, params };
}

function freeze(name: string, method: () => Method, more: Partial<Case> & { readonly seed?: number } = {}) {
  const { model = "llama", seed, ...rest } = more;
  freezeAdapter(name, () => moved(method(), modelOf(model, more.replicated), seed), { model, ...rest });
}

function freezeAdapter(name: string, make: Case["make"], more: Partial<Case> = {}): void {
  if (name in CASES) throw new Error(`Two folders are called ${name}`);
  CASES[name] = { model: "llama", ...more, make };
}

const modelOf = (name: string, replicated?: Case["replicated"]): unknown =>
  replicated === undefined ? MODELS[name] : replicateLayers(MODELS[name], replicated);

const ownModel = (name: string): string =>
  name === "crossAttention" ? "t5" : name.startsWith("fused") ? "gpt2" : "llama";
const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Methods whose defaults do not fit the tiny model, and what they say of it. */
const NO_DEFAULTS: Readonly<Record<string, RegExp>> = {
  c3a: /256 divides not both sizes/,
  compacter: /12 to 1 features in 4 parts/,
  contextPromptTuning: /undefined/,
  fourierft: /Cannot take 1000 frequencies/,
  intrinsicSaid: /dimension to be a positive integer/,
  ladderSideTuning: /reduction to divide the width 12/,
  miss: /rank exceeds the input/,
  modulesToSave: /undefined/,
  oft: /no multiple of the block size 32/,
  only: /undefined/,
  phmAdapter: /12 to 1 features in 12 parts/,
  s4: /budget to be a positive integer/,
  shira: /896 positions of 192 elements/,
  trainableTokens: /undefined/,
  vbLora: /vectors of 256/,
  waveft: /Cannot take 2592 frequencies/,
};

for (const name of Object.keys(METHOD_OPTIONS)) {
  if (name === "loftq") continue; // its base is part of it, see below
  const model = ownModel(name);
  if (OPTIONS[name] !== undefined) freeze(snake(name), () => namedMethod(name, OPTIONS[name]), { model });
  const complaint = NO_DEFAULTS[name];
  if (complaint === undefined) freeze(`${snake(name)}_default`, () => namedMethod(name, {}), { model });
  else assert.throws(() => moved(namedMethod(name, {}), MODELS[model]), complaint, name);
}

/** Further options of each method: forms that the two cases above do not have. */
const FORMS: Readonly<Record<string, readonly Options[]>> = {
  lora: [
    { rank: 2, alpha: 5, scaling: "rankStabilized", dropout: 0.1, targets: "all-linear" },
    { rank: 1, targets: ["embed_tokens", "lm_head", "down_proj"], alphaPattern: { lm_head: 3 } },
    { rank: 2, layers: [1], exclude: ["o_proj"], targets: "all-linear", initialization: "orthogonal" },
  ],
  dora: [{ rank: 2, decomposition: "adapterHub", targets: ["up_proj", "q_proj"] }],
  loraPlus: [{ rank: 2, ratio: 4, embeddingRate: 1e-4 }],
  adalora: [
    {
      rank: 4,
      targetRank: 2,
      initialSteps: 1,
      finalSteps: 1,
      interval: 1,
      totalSteps: 6,
      orthogonality: 0.3,
    },
    { rank: 3, targetRank: 2, alpha: 5, rankPattern: { q_proj: 1 } },
  ],
  loha: [{ rank: 2, alpha: 3, rankPattern: { k_proj: 1 }, targets: ["q_proj", "k_proj", "embed_tokens"] }],
  lokr: [
    { rank: 1, split: "both", factor: 2 },
    { rank: 2, split: "none", order: "smallerFirst", factor: 4, alpha: 3, scaling: "unitWhenFull" },
  ],
  krona: [{ scale: 2, firstFactor: [4, 2], zero: "a" }],
  lily: [{ rank: 2, stride: 1, experts: 2, sharing: "all", mean: "batch" }, { rank: 2, sharing: "modules" }],
  vera: [{ rank: 3, projections: "regenerated", projectionSeed: 7 }],
  pvera: [{ rank: 3, projections: "regenerated", projectionSeed: 7 }],
  poly: [{ rank: 4, skills: 3, pieces: 2, tasks: ["a", "b"], task: "b", routing: "mean" }],
  glora: [
    { rank: 2, a: "vector", b: "constant", c: "vector", d: "vector", e: "vector" },
    { rank: 2, a: "constant", b: "vector", c: "none", d: "none", e: "none" },
  ],
  osf: [{ preserved: 3, targets: ["q_proj", "down_proj"] }],
  randlora: [
    { rank: 3, bases: "sparse", projections: "regenerated", projectionSeed: 7 },
    { rank: 3, bases: "verySparse", alpha: 9 },
  ],
  tinyLora: [
    { rank: 2, dimension: 5, tying: 0.5, singularValues: "split", projections: "regenerated" },
    { rank: 1, dimension: 3, projectionSeed: 7, targets: ["q_proj"] },
  ],
  uniLora: [{ rank: 2, dimension: 7, assignment: "uniform", projectionSeed: 7, initialization: "normal" }],
  vbLora: [{ rank: 2, vectors: 5, length: 2, topK: 2 }],
  deft: [{ rank: 3, projection: "relu", form: "para" }],
  peanut: [{ rank: 2, depth: 2, scale: 0.5, activation: "tanh" }],
  delora: [{ rank: 2, lambda: 4, rankPattern: { q_proj: 3 } }],
  hira: [{ rank: 3, rankPattern: { k_proj: 1 }, targets: ["q_proj", "k_proj", "up_proj"] }],
  shira: [{ rank: 2, positionSeed: 1 }],
  gralora: [{ rank: 4, blocks: 4, alpha: 3, targets: ["q_proj", "o_proj"] }],
  oft: [
    { blocks: { size: 4 }, sharing: "shared", cayley: { terms: 3 } },
    { blocks: { size: 5 }, uneven: "nearest", constraint: 1e-2 },
  ],
  boft: [{ blocks: { count: 4 }, factors: 2, targets: ["o_proj"] }],
  hra: [{ rank: 3, orthogonality: "exact" }, { rank: 2, orthogonality: 0.1, initialization: "none" }],
  miss: [{ rank: 2, form: "standard" }, { rank: 2, form: "bat", targets: ["q_proj"] }],
  fourierft: [{ frequencies: 4, frequencyPattern: { q_proj: 6 }, scale: 30, positionSeed: 7 }],
  c3a: [{ block: 2, initialization: "kaiming" }],
  road: [{ variant: 1, group: 4 }, { variant: 4, group: 2 }],
  waveft: [
    { frequencies: 5, wavelet: "db1", allocation: "proportional", scale: 10, positionSeed: 7 },
    { frequencies: 5, wavelet: "db3" },
    { frequencies: 5, wavelet: "coif1", frequencyPattern: { v_proj: 3 } },
    { frequencies: 5, wavelet: "none" },
  ],
  intrinsicSaid: [
    {
      dimension: 10,
      scales: "each",
      seed: 1,
      blocks: "vector",
      parameters: ["q_proj.weight", "norm.weight"],
    },
    { dimension: 10, scales: "none", parameters: { pattern: ".*mlp.*", flags: "" } },
  ],
  ia3: [{ targets: ["k_proj", "down_proj"], feedForward: ["down_proj"] }],
  beft: [{ targets: ["q_proj", "up_proj"] }],
  bitfit: [{ biases: "queryAndUp" }],
  layerNormTune: [{ norms: ["post_attention_layernorm"] }],
  topLayers: [{ blocks: 2, above: "frozen" }],
  trainableTokens: [{ tokens: { embed_tokens: [2, 3], lm_head: [3] } }],
  only: [{ parameters: { pattern: ".*layers\\.1.*norm.*", flags: "" } }],
  modulesToSave: [{ modules: ["layers.0.mlp", "norm"] }],
  houlsby: [{ reduction: 4, after: ["feedForward"], deviation: 0.1, activation: "leakyRelu" }],
  pfeiffer: [{ reduction: 3, reads: "output", activation: "tanh" }],
  parallelAdapter: [
    { reduction: 3, scale: "learned", dropout: 0.1, activation: "sigmoid" },
    { reduction: 3, scale: 2, reads: "residual", activation: "none" },
  ],
  bottleneckAdapter: [
    { after: ["attention", "feedForward"], reduction: { "0": 3, default: 4 }, activation: "geluTanh" },
    { reduction: 3, reads: "normed", keeps: "sum", norms: ["before", "branch"], scale: "learned" },
    { reduction: 3, reads: "residual", keeps: "normed", norms: ["whole"], scale: "channel" },
    { reduction: 3, residual: "dropped", scale: 0.5, dropout: 0.1, branchDropout: 0.1 },
    { reduction: 3, phm: { dimension: 2, rank: 1, rule: "shared" } },
    { reduction: 3, phm: { dimension: 2, rank: "full", rule: "own" }, activation: "gelu" },
  ],
  phmAdapter: [{ reduction: 3, dimension: 4, after: ["attention"], activation: "gelu" }],
  compacter: [{ reduction: 3, dimension: 2, rank: 2, reads: "normed", after: ["attention"] }],
  kronaB: [{ firstFactor: [3, 4], scale: 2, bias: "none" }],
  kronaBres: [{ residual: 0.5, bias: "one", zero: "a" }],
  adamix: [{ experts: 3, reduction: 3, mixes: "both" }, { experts: 2, reduction: 4, activation: "relu" }],
  invertibleAdapter: [
    { reduction: 3, stands: "entrance", undone: "never", activation: "relu" },
    { reduction: 2, undone: "heads" },
  ],
  loreft: [
    { rank: 2, first: 1, last: 2, ends: "apart", rows: "free", subtracts: "nothing", activation: "relu" },
    { rank: 3, first: 2, last: 2, atMost: "text", dropout: 0.1 },
  ],
  s4: [{ budget: 700, groups: [1, 1], parts: [["adapter", "prefix"], ["bitfit", "lora"]] }],
  attentionFusion: [{ embedding: "excluded", scale: "root", query: "normal" }],
  lets: [{ layers: [1], deltas: "block", pool: "each" }, { deltas: "attention", pool: "each", search: 1 }],
  ladderSideTuning: [{ reduction: 2, temperature: 0.5 }],
  prefixTuning: [
    { length: 2, network: "none", positions: "always" },
    { length: 2, network: "none", positions: "none", distances: "pushed", dropout: 0.1 },
    { length: 3, network: { hidden: 4, activation: "relu" }, positions: "past" },
  ],
  promptTuning: [
    { length: 2, start: { from: "uniform", low: -1, high: 1 } },
    { length: 2, start: { from: "vocabulary", tokens: 5 } },
    { length: 2, madeBy: { kind: "lstm", hidden: 4, layers: 1 } },
    { length: 2, madeBy: { kind: "mlp", hidden: [5] } },
  ],
  pTuning: [
    { length: 2, encoder: { kind: "lstm", hidden: 3, inner: 4, layers: 2, dropout: 0.1 } },
  ],
  multitaskPromptTuning: [{ length: 3, rank: 1, tasks: ["one", "two", "three"], task: "three" }],
  contextPromptTuning: [{ tokens: [4, 2], epsilon: 0.5, templateEpsilon: 0.2, decay: 0.1, types: [4, 1] }],
  llamaAdapter: [{ length: 2, layers: 1, gates: "block", squash: "none" }],
};

for (const [name, forms] of Object.entries(FORMS)) {
  for (const [i, options] of forms.entries()) {
    freeze(`${snake(name)}_form_${i + 1}`, () => namedMethod(name, options), { model: ownModel(name) });
  }
}

/** Methods on models that store matrices otherwise, tie heads, have two stacks or a classifier. */
const ELSEWHERE: readonly (readonly [model: string, name: string, options: Options])[] = [
  ["qwen3", "lora", { rank: 2, targets: ["embed_tokens", "o_proj"] }],
  ["qwen3", "topLayers", { blocks: 1, tied: "trained" }],
  ["qwen3", "modulesToSave", { modules: ["lm_head"] }],
  ["qwen3", "trainableTokens", { tokens: [1, 2] }],
  ["qwen3", "prefixTuning", { length: 2, network: "none" }],
  ["qwen3", "invertibleAdapter", { reduction: 3 }],
  ["gpt2", "lora", { rank: 2, targets: "all-linear", bias: "adapted" }],
  ["gpt2", "lora", { rank: 2, bias: "all", branchBias: true }],
  ["gpt2", "fusedLora", { parts: ["query", "value"], rank: 2, alpha: 3 }],
  ["gpt2", "fusedIa3", { parts: ["key"] }],
  ["gpt2", "bitfit", { missing: "skip" }],
  ["gpt2", "glora", { rank: 2, d: "vector", e: "vector" }],
  ["gpt2", "beft", {}],
  ["gpt2", "ladderSideTuning", { reduction: 2 }],
  ["gpt2", "hira", { rank: 2 }],
  ["t5", "crossAttention", { embeddings: "trained", start: "random" }],
  ["t5", "topLayers", { stack: "decoder", blocks: 1 }],
  ["t5", "houlsby", { reduction: 4, after: ["attention", "cross", "feedForward"] }],
  ["t5", "bottleneckAdapter", { reduction: { "0": 3, "2": 4, default: 6 } }],
  ["t5", "ladderSideTuning", { reduction: 2, layers: [1] }],
  ["t5", "prefixTuning", { length: 2, network: "none" }],
  ["t5", "prefixTuning", { length: 2, network: "none", rows: "peft" }],
  ["t5", "promptTuning", { length: 2 }],
  ["t5", "multitaskPromptTuning", { length: 2, rank: 1, tasks: ["a", "b"], task: "a", stacks: "both" }],
  ["t5", "loreft", { rank: 2, first: 1, last: 1, stacks: "both" }],
  ["t5", "phmAdapter", { reduction: 3, dimension: 2 }],
  ["bert", "lora", { rank: 2, targets: ["query", "value"] }],
  ["bert", "bitfit", { classifier: "bias" }],
  ["bert", "bitfit", { biases: "queryAndUp", classifier: "whole" }],
  ["bert", "topLayers", { blocks: 1 }],
  ["bert", "pfeiffer", { reduction: 3 }],
  ["bert", "lets", { pool: "first" }],
  ["bert", "ladderSideTuning", { reduction: 2 }],
  ["bert", "attentionFusion", {}],
  ["bert", "invertibleAdapter", { reduction: 3 }],
  ["bert", "promptTuning", { length: 2, where: "entered" }],
  ["bert", "promptTuning", { length: 2, where: "afterFirst" }],
  ["bert", "pTuning", { length: 2, where: "afterFirst", encoder: { kind: "mlp", hidden: [5] } }],
  ["bert", "modulesToSave", {
    modules: ["classifier"],
    head: { name: "topics", config: { head_type: "classification", num_labels: 3 } },
  }],
];

for (const [model, name, options] of ELSEWHERE) {
  const stem = `${snake(name)}_on_${model}`;
  const again = Object.keys(CASES).filter((other) => other.startsWith(stem)).length;
  freeze(again === 0 ? stem : `${stem}_${again + 1}`, () => namedMethod(name, options), { model });
}

// Methods that need more than options.

const m = methods;
const q = "model.layers.0.self_attn.q_proj.weight";
const indices = Int32Array.of(3, 7, 20);
const mask = { leaves: [{ path: q, shape: [16, 12], indices }], whole: [] };
const masks = {
  leaves: [
    { path: "model.embed_tokens.weight", shape: [11, 12], indices: Int32Array.of(0, 13, 40, 131) },
    { path: "model.layers.1.mlp.up_proj.weight", shape: [10, 12], indices: Int32Array.of(1, 119) },
  ],
  whole: ["model.norm.weight"],
};
const far = { learners: { "model.layers.0.mlp.up_proj": Int32Array.of(0, 7) } };

freeze("fish_mask", () => m.fishMask({ mask }));
freeze("fish_mask_whole", () => m.fishMask({ mask: masks }));
freeze("lt_sft", () => m.ltSft({ mask, pull: 0.1, maskable: 500 }));
freeze("lt_sft_lookups", () => m.ltSft({ mask: { ...masks, lookups: ["model.embed_tokens.weight"] } }), {
  model: "qwen3",
});
freeze("far", () => m.far(far));
freeze("diff_pruning", () => m.diffPruning());
freeze("diff_pruning_unstructured", () => m.diffPruning({ structure: "none", initialAlpha: 1 }));
freeze("diff_pruning_product", () => m.diffPruning({ penalty: "product", frozen: ["lm_head.weight"] }));
freeze("diff_pruning_fixed", () => m.diffPruningFixed({ mask: { ...mask, whole: ["lm_head.weight"] } }));
freeze("diff_pruning_fixed_on_bert", () =>
  m.diffPruningFixed({
    mask: {
      leaves: [{
        path: "bert.encoder.layer.1.output.dense.weight",
        shape: [12, 10],
        indices: Int32Array.of(5, 6, 99),
      }],
      whole: ["classifier.weight", "classifier.bias"],
    },
  }), { model: "bert" });
freeze("fixed_weights", () => fixed(["model.embed_tokens.weight", q]));
freeze("fixed_weights_tied", () => fixed(["lm_head.weight"], "model.embed_tokens.weight"), {
  model: "qwen3",
});

/** Fixed weights that are the model's own before they move. */
function fixed(parameters: readonly string[], source?: string): Method {
  return {
    ...m.fixedWeights({ parameters }),
    init: ({ model }) =>
      core.nest(
        parameters.map((path) => [`frozen.${path}`, core.trainableCopy(model, source ?? path)] as const),
      ),
  };
}

for (
  const [name, options] of Object.entries({
    psoft: {},
    psoft_terms: { rotation: { terms: 4 }, vectors: "before", dropout: 0.1 },
    psoft_free: { rotation: "free", vectors: "after" },
    psoft_angles: { vectors: "none" },
  })
) {
  freezeAdapter(name, async () => {
    const subspace = await m.principalSubspace(MODELS["llama"], {
      rank: 3,
      targets: ["q_proj", "down_proj"],
    });
    return moved(m.psoft({ subspace, ...options }), MODELS["llama"]);
  });
}

const prompts = (): { readonly one: Adapter; readonly two: Adapter } => {
  const prompt = m.promptTuning({ length: 2 });
  return { one: moved(prompt, MODELS["llama"]), two: moved(prompt, MODELS["llama"], 10) };
};
const coder = (): Adapter =>
  moved(m.iptAutoencoder({ prompts: prompts(), task: "two", intrinsic: 3, hidden: 5 }), MODELS["llama"]);
freeze("spot", () => m.spot({ sources: prompts(), weights: { one: 0.25, two: 0.75 } }));
freeze("spot_after_first", () => {
  const one = moved(m.promptTuning({ length: 2, where: "afterFirst" }), MODELS["bert"]);
  return m.spot({ sources: { one }, where: "afterFirst" });
}, { model: "bert" });
freezeAdapter("ipt_autoencoder", coder);
freeze("ipt_autoencoder_linear", () => m.iptAutoencoder({ prompts: prompts(), task: "one", intrinsic: 3 }));
freeze("ipt", () => m.ipt({ autoencoder: coder() }));

for (
  const [name, options] of Object.entries({
    loftq: { rank: 2, iterations: 2, dtype: "nf4", targets: ["q_proj", "v_proj"] },
    loftq_int4: { rank: 1, iterations: 1, dtype: "int4", targets: ["down_proj"], alpha: 3 },
    loftq_default_dtype: { rank: 2 },
  })
) {
  freezeAdapter(name, async () => {
    const prepared = await m.loftq(MODELS["llama"], options);
    const adapter = moved(
      { ...prepared.adapter.method, init: () => prepared.adapter.params },
      MODELS["llama"],
    );
    return { ...adapter, method: { ...adapter.method, ...namedMethod("loftq", options) } };
  });
}

// Compositions.

const rank = (n: number): Method => m.lora({ rank: n });
const houlsby = (): Method => m.houlsby({ reduction: 4 });
const pfeiffer = (): Method => m.pfeiffer({ reduction: 3 });
const unnetworked = (): Method => m.prefixTuning({ length: 2, network: "none" });
const small = { prefix: { length: 2, network: { hidden: 3 } }, lora: { rank: 2 }, adapter: { reduction: 3 } };

freeze("compose", () => core.compose({ lora: rank(2), head: m.modulesToSave({ modules: ["lm_head"] }) }));
freeze("compose_nested", () =>
  core.compose({
    mask: m.fishMask({ mask }),
    inner: core.compose({ lora: rank(2), deeper: core.compose({ prompt: m.promptTuning({ length: 2 }) }) }),
  }));
freeze("compose_far", () => core.compose({ one: m.far(far), two: rank(2) }));
freeze("compose_gated", () =>
  core.compose({
    gated: core.gated(core.compose({ a: rank(2), b: pfeiffer() }), m.sentenceGate()),
    scaled: core.scaled(core.gated(unnetworked(), m.keyValueGate()), 0.5),
  }));
freeze("gated_sentence", () => core.gated(houlsby(), m.sentenceGate()));
freeze("gated_sentence_lora", () => core.gated(m.lora({ rank: 2, targets: "all-linear" }), m.sentenceGate()));
freeze("gated_key_value", () => core.gated(unnetworked(), m.keyValueGate()));
freeze("scaled", () => core.scaled(unnetworked(), 0.5));
freeze("scaled_negative", () => core.scaled(rank(2), -1));
freeze("scaled_gated", () => core.scaled(core.gated(houlsby(), m.sentenceGate()), 0.25));
freeze("mam", () => m.mam({ prefix: { length: 2, network: "none" }, parallel: { reduction: 3 } }));
freeze("mam_network", () => m.mam({ prefix: { length: 2, network: { hidden: 3 } } }));
freeze("unipelt", () => m.unipelt(small));
freeze("unipelt_parts", () => m.unipelt({ ...small, adapter: "none" }));
freeze("p_tuning_v2", () => m.pTuningV2({ length: 2 }));
freeze("p_tuning_v2_classifier", () => m.pTuningV2({ length: 2, network: { hidden: 3 } }), { model: "bert" });
freeze("compacter_plus_plus", () => m.compacterPlusPlus({ reduction: 3, dimension: 2 }));
freeze("rslora", () => m.rslora({ rank: 2 }));
freeze("qlora", () => m.qlora({ rank: 2 }));
freeze("adapter_fusion", () => fusion({}));
freeze("adapter_fusion_static", () => fusion({ matrices: ["query", "key"], query: "output", dropout: 0.1 }));
freeze("adapter_fusion_annealed", () => fusion({ temperature: { from: 5, steps: 10 }, regularization: 0 }));
freeze("adapter_fusion_on_bert", () => fusion({}, "bert"), { model: "bert" });

function fusion(options: Options, model = "llama"): Method {
  const adapters = { a: moved(pfeiffer(), MODELS[model]), b: moved(pfeiffer(), MODELS[model], 10) };
  return m.adapterFusion({ adapters, ...options });
}

for (
  const [name, options] of Object.entries({
    xlora: { trains: "router" },
    xlora_all: { trains: "all", routes: "layerwise", depth: 2, size: 6 },
    xlora_top: { topK: 1, chosen: "softmax", temperature: 0.5, scale: 2 },
    xlora_raw: { temperature: "none", signal: "other" },
  })
) {
  freeze(name, () => mixture(options));
}

function mixture(options: Options): Method {
  const expert = m.lora({ rank: 2, initialization: "none" });
  const experts = { math: moved(expert, MODELS["llama"]), code: moved(expert, MODELS["llama"], 10) };
  return m.xlora({ experts, ...options });
}

freeze("averaged", () => m.averaged({ a: houlsby(), b: rank(2) }, { weights: [0.3, 0.7] }));
freeze(
  "averaged_divided",
  () => m.averaged({ a: pfeiffer(), b: pfeiffer() }, { divided: true, weights: [1, 3] }),
);
freeze("averaged_default", () => m.averaged({ a: pfeiffer(), b: houlsby() }));
freeze("routed", () =>
  m.routed({ a: houlsby(), b: rank(2), c: rank(1) }, {
    topK: 1,
    chosen: "softmax",
    temperature: 0.5,
  }));
freeze("routed_default", () => m.routed({ a: rank(1), b: rank(2) }));
freeze(
  "routed_raw",
  () => m.routed({ a: rank(1), b: rank(2) }, { temperature: "none", chosen: "keep", topK: 1 }),
);
freeze("parallel", () => m.parallel({ a: houlsby(), b: pfeiffer() }));
freeze("by_spans", () => m.bySpans({ a: houlsby(), b: pfeiffer() }, [2, 3]));
freezeAdapter("per_row", () => {
  const [intrinsic, mixed] = [m.ipt({ autoencoder: coder() }), mixture({})]
    .map((method) => moved(method, MODELS["llama"]));
  return core.perRow({ intrinsic, mixed });
}, { batch: { rows: ["mixed", "intrinsic"] } });
freezeAdapter("per_row_nested", () => {
  const parts = core.compose({ far: m.far(far), lora: rank(2), mask: m.fishMask({ mask }) });
  const [one, two] = [parts, core.scaled(unnetworked(), 2)].map((method) => moved(method, MODELS["llama"]));
  return core.perRow({ one, two });
}, { batch: { rows: ["two", "one"] } });
freeze("prompt_tuning_in_slots", () => m.promptTuning({ length: 2, where: { token: 3 } }), {
  batch: { inputIds: [[1, 3, 3, 4, 5], [6, 7, 3, 3, 9]] },
});

/** SparseAdapter itself has no record: what is saved is its host, with zeros where the mask has them. */
for (
  const [name, host] of Object.entries({
    houlsby,
    lora: () => m.lora({ rank: 2, initialization: "none" }),
  })
) {
  freezeAdapter(`sparse_adapter_${name}`, async () => {
    const whole = moved(host(), MODELS["llama"]);
    const kept = await m.adapterMask(MODELS["llama"], whole, { keep: 0.5, score: "magnitude" });
    const sparse = m.sparseAdapter({ host: host(), mask: kept });
    return { name: "default", ...sparse.finalize({ of: whole.params, frozen: kept }, spec("llama")) };
  });
}

/** What becomes another method when its training is over. */
for (
  const [name, method] of Object.entries<Method>({
    adamix: m.adamix({ experts: 3, reduction: 3 }),
    prefix: m.prefixTuning({ length: 2, network: { hidden: 4 } }),
    p_tuning: m.pTuning({ length: 2, encoder: { kind: "mlp" } }),
    unipelt: m.unipelt(small),
    mam: m.mam({ prefix: { length: 2, network: { hidden: 3 } } }),
  })
) {
  freezeAdapter(`finalized_${name}`, () => {
    const trained = moved(method, MODELS["llama"]);
    const { finalize } = method as unknown as Record<string, ((...given: unknown[]) => Adapter) | undefined>;
    if (finalize === undefined) throw new Error(`${name} has nothing to finalize`);
    return { name: "default", ...finalize(trained.params, spec("llama")) };
  });
}

/** Two more that have no record. */
for (
  const [name, method] of Object.entries<() => Method>({
    fullFineTune: () => m.fullFineTune(),
    centralGate: () => m.unipelt({ ...small, gate: "central" }),
  })
) {
  await assert.rejects(
    io.saveAdapter("", moved(method(), MODELS["llama"]), MODELS["llama"], { format: "graft" }),
    new RegExp(`Cannot save "${name}.*": merge the adapter and save the model instead`),
  );
}

/** Adapters of changed bases, taken back to the original one. */
for (const name of ["pissa", "olora"]) {
  freezeAdapter(`${name}_on_original`, async () => {
    const prepared = await m[name](MODELS["llama"], { rank: 2 });
    const trained = moved(
      { ...prepared.adapter.method, init: () => prepared.adapter.params },
      MODELS["llama"],
    );
    return { ...(await m.onOriginal(MODELS["llama"], prepared, trained)).adapter, name: "default" };
  });
}

freeze("lora_on_replicated_layers", () => rank(2), { replicated: [[0, 2], [1, 2]] });

const spec = (name: string): unknown => (MODELS[name] as { readonly spec: unknown }).spec;

// Folders of before.

freeze("far_before", () => m.far(far), {
  before: (folder) =>
    editRecord(folder, ({ config: { outputs: _, ...config }, ...rest }) => ({ ...rest, config })),
});
freeze("lt_sft_before", () => m.ltSft({ mask, pull: 0.1, maskable: 500 }), {
  before: (folder) =>
    editRecord(folder, ({ config: { shapes: _, ...config }, ...rest }) => ({ ...rest, config })),
});
freeze("ladder_side_tuning_before", () => m.ladderSideTuning({ reduction: 2 }), {
  model: "bert",
  before: (folder) =>
    addLeaves(folder, {
      "side.bert.pooler.dense.weight": [6, 6],
      "side.bert.pooler.dense.bias": [6],
      "side.bert.embeddings.LayerNorm.weight": [6],
      "side.bert.embeddings.LayerNorm.bias": [6],
    }),
});

interface Record_ {
  readonly config: Options;
  readonly [name: string]: unknown;
}

function editRecord(folder: string, edit: (record: Record_) => unknown): void {
  const path = `${folder}/adapter_config.json`;
  const { graft, ...rest } = JSON.parse(Deno.readTextFileSync(path));
  const edited = edit(graft);
  assert.notDeepEqual(edited, graft);
  Deno.writeTextFileSync(path, `${JSON.stringify({ graft: edited, ...rest }, null, 2)}\n`);
}

async function addLeaves(folder: string, more: Readonly<Record<string, readonly number[]>>): Promise<void> {
  const path = `${folder}/adapter_model.safetensors`;
  const file = openSafetensors(path);
  const own = [...file.tensors.values()].map((t: StoredTensor) => {
    const bytes = t.read();
    return { ...t, byteLength: bytes.length, read: () => bytes };
  });
  file.close();
  const added = Object.entries(more).map(([name, shape]) => {
    const bytes = new Uint8Array(new Float32Array(shape.reduce((a, b) => a * b)).fill(3).buffer);
    return { name, dtype: "f32", shape, byteLength: bytes.length, read: () => bytes };
  });
  await writeSafetensors(path, [...own, ...added]);
}

// Writing.

const logits = new Map<string, { readonly shape: readonly number[]; readonly values: Float32Array }>();

async function logitsOf(model: unknown, adapter: Adapter | undefined, batch: Batch): Promise<Float32Array> {
  const t = core.scope(() =>
    core.forward(adapter === undefined ? model : core.graft(model, adapter), batch).logits
  );
  lastShape = t.shape;
  return await core.read(t);
}
let lastShape: readonly number[] = [];

async function writeModels(): Promise<void> {
  for (const [name, model] of Object.entries(MODELS)) {
    const folder = `${OUT}bases/${name}`;
    await io.saveModel(folder, model);
    const batch = BATCHES[name]!;
    const again = await io.loadModel(folder, { backend });
    const values = await logitsOf(again, undefined, batch);
    assert.deepEqual(values, await logitsOf(model, undefined, batch));
    logits.set(`bases/${name}`, { shape: lastShape, values });
  }
}

async function writeAdapters(): Promise<Options> {
  const listed: Record<string, unknown> = {};
  const faults: string[] = [];
  for (const name of Object.keys(CASES).sort()) {
    try {
      listed[name] = await writeAdapter(name, CASES[name]!);
    } catch (error) {
      faults.push(`${name}: ${(error as Error).stack}`);
    }
  }
  if (faults.length > 0) throw new Error(faults.join("\n\n"));
  return listed;
}

async function writeAdapter(
  name: string,
  { model: base, make, batch: own, replicated, before }: Case,
): Promise<Options> {
  const folder = `${OUT}adapters/${name}`;
  const model = modelOf(base, replicated);
  const batch = { ...BATCHES[base]!, ...own };
  const adapter = await make();
  await io.saveAdapter(folder, adapter, model, { format: "graft" });
  Deno.removeSync(`${folder}/README.md`);
  await before?.(folder);
  // What counts is what this code computes from the files.
  const loaded = await io.loadAdapter(folder, await io.modelOfAdapter(folder, MODELS[base]));
  const values = await logitsOf(model, loaded, batch);
  // LoftQ's base is part of what is loaded, and the adapter alone is not.
  if (!name.startsWith("loftq")) assert.deepEqual(values, await logitsOf(model, adapter, batch));
  assert.ok(values.every(Number.isFinite), "logits that are no numbers");
  assert.notDeepEqual(
    values,
    await logitsOf(model, undefined, BATCHES[base]!),
    "the adapter changes nothing",
  );
  logits.set(`adapters/${name}`, { shape: lastShape, values });
  const { trainable } = core.count(model, loaded);
  if (trainable === 0) return { model: base, trainable, ...own && { batch: own } };
  const labelled = { ...batch, labels: LABELS[base]! };
  const row = { count: 1, lengths: [10], targets: [10], tokens: () => labelled, batch: () => labelled };
  const losses = await lossesOf(await train.startTraining(model, loaded, row, TRAINING));
  return { model: base, trainable, ...own && { batch: own }, losses };
}

/** Training states of the library's loop, begun from adapters that were frozen above, and what the remaining steps give. */
async function writeStates(): Promise<Options> {
  const listed: Record<string, unknown> = {};
  const model = MODELS["llama"];
  for (const [name, from] of [["lora", "lora_form_1"], ["adalora", "adalora_form_1"]] as const) {
    const adapter = await io.loadAdapter(`${OUT}adapters/${from}`, model);
    const options = {
      learningRate: 0.05,
      batching: { kind: "buckets", batchSize: 2 },
      epochs: 3,
      clip: 1,
      seed: 4,
      pad: 0,
    };
    const rows = train.rowsFrom(TRAINED);
    const path = `${OUT}states/${name}.safetensors`;
    Deno.mkdirSync(`${OUT}states`, { recursive: true });
    const begun = await train.startTraining(model, adapter, rows, options);
    for (let i = 0; i < 3; i++) await begun.next();
    await io.saveTrainingState(path, begun.snapshot(), train.adamw(), { note: "frozen" });
    const whole = await stepsOf(begun);
    const saved = io.openTrainingState(path);
    const { step, slots } = saved;
    const resume = { step, slots, params: saved.params(backend), state: saved.state(backend) };
    if (name === "adalora") assert.ok(core.leaves(resume.state).length > 0, "AdaLoRA's state");
    const rest = await train.startTraining(model, adapter, rows, options, resume);
    const steps = await stepsOf(rest);
    assert.deepEqual(steps, whole);
    assert.equal(steps.length, 3);
    const values = await logitsOf(model, rest.adapter(), BATCHES["llama"]!);
    logits.set(`states/${name}`, { shape: lastShape, values });
    listed[name] = {
      adapter: from,
      options,
      rows: TRAINED,
      steps,
      params: await hashOf(rest.adapter().params),
    };
  }
  return listed;
}

const TRAINED = [[1, 2, 3, 4], [5, 6, 7], [8, 9, 10, 1], [2, 4, 6]]
  .map((ids) => ({ inputIds: ids, labels: ids }));

interface Run {
  next(): Promise<{ readonly loss: number } | undefined>;
  snapshot(): { readonly state: unknown };
}

async function lossesOf(run: Run): Promise<number[]> {
  return (await stepsOf(run)).map(({ loss }) => loss);
}

/** The losses, and what the method keeps between steps. */
async function stepsOf(run: Run): Promise<{ readonly loss: number; readonly state: string }[]> {
  const steps: { readonly loss: number; readonly state: string }[] = [];
  for (let report = await run.next(); report; report = await run.next()) {
    steps.push({ loss: report.loss, state: await hashOf(run.snapshot().state) });
  }
  return steps;
}

/** The values of all leaves, whatever their names and order are. */
async function hashOf(tree: unknown): Promise<string> {
  const each: string[] = [];
  for (const [, t] of core.leaves(tree)) {
    each.push(createHash("sha256").update(await core.bytesOf(t)).digest("hex"));
  }
  return createHash("sha256").update(each.sort().join()).digest("hex");
}

/** What is given to each run of `graft finetune` besides model, data and output. */
const RUNS: Readonly<Record<string, Options>> = {
  lora: { method: "lora", rank: 2, dropout: 0.1, learningRate: 0.02, maxSteps: 5, evalEvery: 2 },
  adalora: {
    method: "adalora",
    rank: 3,
    learningRate: 0.02,
    maxSteps: 5,
    evalEvery: 2,
    options: { targetRank: 2, initialSteps: 1, finalSteps: 1, interval: 1 },
  },
  houlsby: { method: "houlsby", bottleneck: 4, learningRate: 0.02, maxSteps: 5, evalEvery: 2 },
  lt_sft: { method: "lt-sft", options: { ratio: 0.02 }, learningRate: 0.02, maxSteps: 5, evalEvery: 2 },
};

async function writeRuns(): Promise<Options> {
  const folder = Deno.makeTempDirSync();
  Deno.renameSync(tinyModel(folder), `${folder}/letters`);
  copyFolder(`${folder}/letters`, `${OUT}bases/letters`);
  Deno.mkdirSync(`${OUT}runs`, { recursive: true });
  Deno.renameSync(tinyData(folder), `${folder}/letters.jsonl`);
  Deno.copyFileSync(`${folder}/letters.jsonl`, `${OUT}letters.jsonl`);
  const model = await io.loadModel(`${OUT}bases/letters`, { backend });
  logits.set("bases/letters", {
    values: await logitsOf(model, undefined, BATCHES["letters"]!),
    shape: lastShape,
  });
  const listed: Record<string, unknown> = {};
  Deno.chdir(folder); // so that no file has a path of this machine
  for (const [name, flags] of Object.entries(RUNS)) {
    const output = `${folder}/${name}`;
    const given = { ...flags, model: "letters", data: "letters.jsonl", output };
    // One more step is taken after the evaluation that is interrupted.
    const cut = finetuned(given, (said: string, interrupt: () => void) => {
      if (said.startsWith("step 2: held-out")) interrupt();
    });
    await assert.rejects(cut, { name: "Exit" });
    copyFolder(output, `${OUT}runs/${name}`);
    const saved = io.openTrainingState(`${OUT}runs/${name}/checkpoint/state.safetensors`);
    assert.equal(saved.step, 3);
    saved[Symbol.dispose]();
    await finetuned({ ...given, resume: true });
    const metrics = Deno.readTextFileSync(`${output}/metrics.jsonl`).trimEnd().split("\n")
      .map((line) => JSON.parse(line)) as { step: number; loss?: number; evalLoss?: number }[];
    const after = metrics.filter(({ step }) => step > 3)
      .map(({ step, loss, evalLoss }) => ({ step, loss, evalLoss }));
    assert.equal(after.length, 4); // two steps and two evaluations
    const result = await io.loadAdapter(output, model);
    logits.set(`runs/${name}`, {
      values: await logitsOf(model, result, BATCHES["letters"]!),
      shape: lastShape,
    });
    listed[name] = { flags, metrics: after, params: await hashOf(result.params) };
  }
  return listed;
}

function copyFolder(source: string, target: string): void {
  Deno.mkdirSync(target, { recursive: true });
  for (const { name, isDirectory } of Deno.readDirSync(source)) {
    if (name === "README.md") continue;
    if (isDirectory) copyFolder(`${source}/${name}`, `${target}/${name}`);
    else Deno.copyFileSync(`${source}/${name}`, `${target}/${name}`);
  }
}

await Deno.remove(OUT, { recursive: true }).catch(() => {});
await writeModels();
const adapters = await writeAdapters();
const states = await writeStates();
const runs = await writeRuns();
Deno.writeTextFileSync(
  `${OUT}expected.json`,
  `${
    JSON.stringify({ batches: BATCHES, labels: LABELS, training: TRAINING, adapters, states, runs }, null, 1)
  }\n`,
);
await writeSafetensors(
  `${OUT}expected.safetensors`,
  [...logits].map(([name, { shape, values }]) => ({
    name,
    dtype: "f32",
    shape,
    byteLength: values.byteLength,
    read: () => new Uint8Array(values.slice().buffer),
  })),
);

/**
 * The frozen files of version 2, in which records of methods are data all the way down: each adapter of version 1 as the code
 * of commit 8efa1542 loads and saves it, methods and compositions that version 1 lacks or could not hold, and checkpoints of
 * unfinished runs. As with version 1, every later version must open them and compute the same, and no later code is to write
 * them again (frozen_version_1.ts says why).
 *
 *     git worktree add /tmp/version_2 8efa1542
 *     deno run -A tests/oracles/frozen_version_2.ts /tmp/version_2
 *
 * It writes to golden/frozen_version_2, laid out as frozen_version_1, whose `bases/` and `letters.jsonl` serve here as well.
 * What an adapter of version 1 computed is not measured anew but taken from there, and the program stops where the code of its
 * commit computes anything else. It stops, too, where a definition that files can hold is in no record.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { resolve } from "node:path";

const root = Deno.args[0];
if (root === undefined) throw new Error("Say where the checkout of the commit is");
const from = (path: string) => import(new URL(path, `file://${resolve(root)}/`).href);

const core = await from("core/mod.ts");
const { add, normal } = await from("ops/mod.ts");
const m = await from("methods/mod.ts");
const { DEFINITIONS } = await from("methods/index.ts");
const io = await from("io/mod.ts");
const train = await from("train/mod.ts");
const { openSafetensors } = await from("formats/safetensors.ts");
const { writeSafetensors } = await from("formats/safetensors_write.ts");
const { reference } = await from("ops/reference/mod.ts");
const { finetuned } = await from("tests/cli/in_process.ts");

const BEFORE = new URL("golden/frozen_version_1/", import.meta.url).pathname;
const OUT = new URL("golden/frozen_version_2/", import.meta.url).pathname;
const backend = reference();

// What is used of that code's types.
interface Leaf {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly backend: unknown;
}
interface Method {
  init(given: { readonly model: unknown; readonly key: number }): unknown;
}
interface Adapter {
  readonly name?: string;
  readonly method: Method;
  readonly params: unknown;
}
interface Model {
  readonly spec: unknown;
}
type Options = Readonly<Record<string, unknown>>;
type Batch = Options;
interface Frozen extends Options {
  readonly model: string;
  readonly batch?: Batch;
}

const { batches, labels, training, adapters: former, states: formerStates }: {
  readonly batches: Readonly<Record<string, Batch>>;
  readonly labels: Readonly<Record<string, unknown>>;
  readonly training: Options;
  readonly adapters: Readonly<Record<string, Frozen>>;
  readonly states: Readonly<Record<string, Options>>;
} = JSON.parse(Deno.readTextFileSync(`${BEFORE}expected.json`));

const formerLogits = openSafetensors(`${BEFORE}expected.safetensors`);
function computedBefore(name: string): Float32Array {
  const bytes: Uint8Array = formerLogits.tensors.get(name).read();
  return new Float32Array(bytes.slice().buffer);
}

const MODELS: Record<string, Model> = {};
Deno.chdir(BEFORE); // so that no file has a path of this machine
for (const name of Object.keys(batches)) {
  MODELS[name] = await io.loadModel(`bases/${name}`, { backend });
}
const llama = MODELS["llama"]!;

/** An adapter that has moved from its start. */
function moved(method: Method, model: unknown = llama, seed = 9): Adapter {
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

// What version 1 lacks.

const rank = (n: number): Method => m.lora({ rank: n });
const houlsby = (): Method => m.houlsby({ reduction: 4 });
const tokens = [5, 6, 7, 1];
const hybrid = (): Method =>
  core.compose({
    coarse: core.at(core.layers(0, 1), m.ia3()),
    matrices: core.at(core.layers(1), rank(2)),
    beside: core.at(core.layers(1), core.gated(m.parallelAdapter({ reduction: 4 }), m.sentenceGate())),
    states: core.at(core.layers(1), core.scaled(m.loreft({ rank: 2, first: 1, last: 1 }), 0.5)),
  });

const NEW: Readonly<Record<string, readonly [model: string, make: () => Adapter | Promise<Adapter>]>> = {
  kasa: ["llama", () => moved(m.kasa({ rank: 2 }))],
  kasa_options: [
    "llama",
    () => {
      const rankPattern = { k_proj: 1 };
      return moved(
        m.kasa({
          rank: 3,
          alpha: 5,
          dropout: 0.1,
          beta: 0.1,
          gamma: 0.2,
          targets: ["q_proj", "k_proj"],
          rankPattern,
        }),
      );
    },
  ],
  kasa_on_gpt2: ["gpt2", () => moved(m.kasa({ rank: 1, targets: ["c_fc"] }), MODELS["gpt2"])],
  cartridge: ["llama", () => moved(m.cartridge({ length: 3 }))],
  cartridge_of_text: ["llama", () => moved(m.cartridge({ length: 4, frozen: 2, tokens }))],
  cartridge_all_trained: ["qwen3", () => moved(m.cartridge({ length: 2, frozen: 0 }), MODELS["qwen3"])],
  lora_ga_on_original: ["llama", async () => {
    const batch = { inputIds: [[1, 2, 3, 4]], labels: [[1, 2, 3, 4]] };
    const prepared = await m.loraGa(llama, [batch], { rank: 2 });
    const start = { ...prepared.adapter.method, init: () => prepared.adapter.params };
    return { ...(await m.onOriginal(llama, prepared, moved(start))).adapter, name: "default" };
  }],
  scaled_scaled: ["llama", () => moved(core.scaled(core.scaled(rank(2), 0.5), 0.25))],
  scaled_lokr: ["llama", () => moved(core.scaled(m.lokr({ rank: 2, factor: 4 }), 0.5))],
  scaled_part_called_factor: ["llama", () => moved(core.scaled(core.compose({ factor: rank(2) }), 2))],
  gated_part_called_gate: [
    "llama",
    () => moved(core.gated(core.compose({ gate: houlsby(), method: rank(2) }), m.sentenceGate())),
  ],
  gated_gated: [
    "llama",
    () => moved(core.gated(core.gated(houlsby(), m.sentenceGate()), m.sentenceGate())),
  ],
  at_layers: ["llama", () => moved(core.at(core.layers(1), rank(2)))],
  at_selectors: ["llama", () =>
    moved(core.compose({
      named: core.at({ all: [{ names: ["q_proj"] }, { not: { layers: [0, 1] } }] }, rank(2)),
      matched: core.at({ any: [{ matching: ".*\\.0\\..*v_proj" }, { kinds: ["head"] }] }, rank(1)),
    }))],
  hybrid: ["llama", () => moved(hybrid())],
  hybrid_scaled: ["llama", () => moved(core.scaled(hybrid(), 0.5))],
  central_gate: [
    "llama",
    () => moved(m.centralGate({ low: rank(2), wide: m.pfeiffer({ reduction: 4 }) })),
  ],
  // Version 1 wrote this one under the name of what it is made of.
  named_compacter_plus_plus: ["llama", () => moved(m.compacterPlusPlus({ reduction: 3, dimension: 2 }))],
  full_fine_tune: ["llama", () => moved(m.fullFineTune())],
  sparse_adapter: ["llama", async () => {
    const whole = moved(houlsby());
    const mask = await m.adapterMask(llama, whole, { keep: 0.5, score: "magnitude" });
    return moved(m.sparseAdapter({ host: houlsby(), mask }));
  }],
};

// Writing.

const logits = new Map<string, { readonly shape: readonly number[]; readonly values: Float32Array }>();
const recorded = new Set<string>();

async function compute(name: string, model: unknown, adapter: Adapter, batch: Batch): Promise<Float32Array> {
  const t = core.scope(() => core.forward(core.graft(model, adapter), batch).logits);
  const values: Float32Array = await core.read(t);
  logits.set(name, { shape: t.shape, values });
  return values;
}

interface Record_ {
  readonly method: string;
  readonly parts?: Readonly<Record<string, Record_>>;
}

function note({ method, parts = {} }: Record_): void {
  recorded.add(method);
  for (const part of Object.values(parts)) note(part);
}

/** Writes the folder of an adapter, and gives what loading it gives. */
async function write(name: string, adapter: Adapter, base: string, model: unknown): Promise<Adapter> {
  const folder = `${OUT}adapters/${name}`;
  await io.saveAdapter(folder, adapter, model, { format: "graft" });
  Deno.removeSync(`${folder}/README.md`);
  const { graft } = JSON.parse(Deno.readTextFileSync(`${folder}/adapter_config.json`));
  assert.equal(graft.version, 2);
  note(graft);
  return await io.loadAdapter(folder, await io.modelOfAdapter(folder, MODELS[base]));
}

async function writeFormer(name: string, frozen: Frozen): Promise<Frozen> {
  const old = `${BEFORE}adapters/${name}`;
  const model = await io.modelOfAdapter(old, MODELS[frozen.model]);
  const loaded = await write(name, await io.loadAdapter(old, model), frozen.model, model);
  const batch = { ...batches[frozen.model], ...frozen.batch };
  assert.deepEqual(
    await compute(`adapters/${name}`, model, loaded, batch),
    computedBefore(`adapters/${name}`),
  );
  return frozen;
}

async function writeNew(name: string, base: string, make: () => Adapter | Promise<Adapter>): Promise<Frozen> {
  const [model, batch] = [MODELS[base]!, batches[base]!];
  const adapter = await make();
  const loaded = await write(name, adapter, base, model);
  const values = await compute(`adapters/${name}`, model, loaded, batch);
  assert.deepEqual(values, await compute(`adapters/${name}`, model, adapter, batch));
  assert.ok(values.every(Number.isFinite), "logits that are no numbers");
  assert.notDeepEqual(values, computedBefore(`bases/${base}`), "the adapter changes nothing");
  const labelled = { ...batch, labels: labels[base] };
  const row = { count: 1, lengths: [10], targets: [10], tokens: () => labelled, batch: () => labelled };
  const steps = await stepsOf(await train.startTraining(model, loaded, row, training));
  return {
    model: base,
    trainable: core.count(model, loaded).trainable,
    losses: steps.map(({ loss }) => loss),
  };
}

async function writeAdapters(): Promise<Options> {
  const listed: Record<string, Frozen> = {};
  const faults: string[] = [];
  for (const name of [...Object.keys(former), ...Object.keys(NEW)].sort()) {
    try {
      listed[name] = name in NEW
        ? await writeNew(name, ...NEW[name]!)
        : await writeFormer(name, former[name]!);
    } catch (error) {
      faults.push(`${name}: ${(error as Error).stack}`);
    }
  }
  if (faults.length > 0) throw new Error(faults.join("\n\n"));
  const held = DEFINITIONS.filter(({ create, restore }: Options) =>
    create !== undefined || restore !== undefined
  );
  const absent = held.map(({ name }: { readonly name: string }) => name)
    .filter((name: string) => !recorded.has(name));
  // These make methods of other definitions, in whose names they are saved.
  assert.deepEqual(absent.sort(), ["mam", "p-tuning-v2", "qlora", "rslora", "unipelt"]);
  return listed;
}

interface Run {
  next(): Promise<{ readonly loss: number } | undefined>;
  snapshot(): { readonly state: unknown };
  adapter(): Adapter;
}

/** The losses, and what the method keeps between steps. */
async function stepsOf(run: Run): Promise<{ readonly loss: number; readonly state: string }[]> {
  const steps: { readonly loss: number; readonly state: string }[] = [];
  for (let report = await run.next(); report; report = await run.next()) {
    steps.push({ loss: report.loss, state: await hashOf(run.snapshot().state ?? {}) });
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

/** The runs of version 1 again, whose remaining steps must be those of then. */
async function writeStates(): Promise<Options> {
  Deno.mkdirSync(`${OUT}states`, { recursive: true });
  for (const [name, { adapter: start, options, rows, steps }] of Object.entries(formerStates)) {
    const adapter = await io.loadAdapter(`${OUT}adapters/${start}`, llama);
    const run = await train.startTraining(llama, adapter, train.rowsFrom(rows), options);
    for (let i = 0; i < 3; i++) await run.next();
    await io.saveTrainingState(`${OUT}states/${name}.safetensors`, run.snapshot(), train.adamw(), {
      note: "frozen",
    });
    assert.deepEqual(await stepsOf(run), steps);
    const values = await compute(`states/${name}`, llama, run.adapter(), batches["llama"]!);
    assert.deepEqual(values, computedBefore(`states/${name}`));
  }
  return formerStates;
}

/** What is given to each run of `graft finetune` besides model, data and output. */
const RUNS: Readonly<Record<string, Options>> = {
  lora: { method: "lora", rank: 2, dropout: 0.1 },
  adalora: {
    method: "adalora",
    rank: 3,
    options: { targetRank: 2, initialSteps: 1, finalSteps: 1, interval: 1 },
  },
  houlsby: { method: "houlsby", bottleneck: 4 },
  lt_sft: { method: "lt-sft", options: { ratio: 0.02 } },
  kasa: { method: "kasa", rank: 2 },
  lora_ga: { method: "lora-ga", rank: 2, options: { examples: 2 } },
  cartridge: { method: "cartridge", options: { length: 3 } },
  pissa: { method: "pissa", rank: 2 },
};
const RATE = { learningRate: 0.02, maxSteps: 5, evalEvery: 2 };

async function writeRuns(): Promise<Options> {
  const folder = Deno.makeTempDirSync();
  copyFolder(`${BEFORE}bases/letters`, `${folder}/letters`);
  Deno.copyFileSync(`${BEFORE}letters.jsonl`, `${folder}/letters.jsonl`);
  Deno.mkdirSync(`${OUT}runs`, { recursive: true });
  const listed: Record<string, unknown> = {};
  Deno.chdir(folder);
  for (const [name, own] of Object.entries(RUNS)) {
    const flags = { ...own, ...RATE };
    const output = `${folder}/${name}`;
    const given = { ...flags, model: "letters", data: "letters.jsonl", output };
    // One more step is taken after the evaluation that is interrupted.
    const cut = finetuned(given, (said: string, interrupt: () => void) => {
      if (said.startsWith("step 2: held-out")) interrupt();
    });
    await assert.rejects(cut, { name: "Exit" });
    copyFolder(output, `${OUT}runs/${name}`);
    using saved = io.openTrainingState(`${OUT}runs/${name}/checkpoint/state.safetensors`);
    assert.equal(saved.step, 3);
    await finetuned({ ...given, resume: true });
    const after = Deno.readTextFileSync(`${output}/metrics.jsonl`).trimEnd().split("\n")
      .map((line) => JSON.parse(line) as { step: number; loss?: number; evalLoss?: number })
      .filter(({ step }) => step > 3).map(({ step, loss, evalLoss }) => ({ step, loss, evalLoss }));
    assert.equal(after.length, 4); // two steps and two evaluations
    const model = MODELS["letters"]!;
    const result = await io.loadAdapter(output, model);
    await compute(`runs/${name}`, model, result, batches["letters"]!);
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
const adapters = await writeAdapters();
const states = await writeStates();
const runs = await writeRuns();
Deno.writeTextFileSync(
  `${OUT}expected.json`,
  `${JSON.stringify({ batches, labels, training, adapters, states, runs }, null, 1)}\n`,
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

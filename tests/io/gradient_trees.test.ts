/**
 * Gradients in the place of an adapter's parameters, for every method and every golden folder, in every form: a folder that
 * comes back as the same numbers, or an error that says why not. Never numbers that were computed from gradients as if they
 * were parameters, never a crash over a frozen leaf that they lack, and never a half-written folder.
 */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Batch,
  copyTree,
  dispose,
  fold,
  FROZEN,
  key,
  leaves,
  lossAndGrad,
  mapTree,
  type Method,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import { exists } from "../../io/inspect_contents.ts";
import { modelOfAdapter } from "../../io/layer_replication.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter, type SaveAdapterOptions } from "../../io/save_adapter.ts";
import {
  adapterFusion,
  averaged,
  diffPruningFixed,
  far,
  fishMask,
  houlsby,
  ipt,
  iptAutoencoder,
  lora,
  ltSft,
  mam,
  parallel,
  pfeiffer,
  promptTuning,
  pTuningV2,
  routed,
  unipelt,
  xlora,
} from "../../methods/mod.ts";
import { add, normal } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { inFolder } from "../support/folder.ts";
import { GOLDEN, PEFT_FOLDERS, PEFT_PROMPT_FOLDERS } from "../support/golden.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";
import { CREATED, created, namedMethod } from "../support/method_options.ts";
import { baseOf, folderBatch, hubLabels, hubModel } from "./adapterhub/cases.ts";

const FORMS: Readonly<Record<string, SaveAdapterOptions>> = {
  peft: { format: "peft" },
  adapters: { format: "adapters" },
  graft: { format: "graft" },
  gguf: { format: "gguf" },
  "cut for gguf": { format: "gguf", lora: { rank: 1 } },
  "cut for peft": { format: "peft", lora: { rank: 1 } },
};

/** What loading brings back to a set: constrained rotations of PEFT's, which its next forward pass would pull too. */
const PULLED = /^oft_(constrained|unprojected)$|^oft constrained$/;

/** The trained numbers, whatever their part is called. */
const trainedOf = async (params: Tree): Promise<readonly string[]> =>
  (await Promise.all(
    leaves(params).filter(([path, t]) => !path.split(".").includes(FROZEN) && t.dtype === "f32")
      .map(async ([, t]) => `${t.shape}: ${(await read(t)).join()}`),
  )).sort();

/** An error that was thought of: it names what cannot be done. */
function assertNamed(error: unknown, what: string): void {
  assert.ok(error instanceof RangeError || error instanceof TypeError, `${what}: ${error}`);
  assert.match(
    error.message,
    /^(Cannot (save|load|write|use|hold|average|merge|graft)|the options of |Expected )/,
    what,
  );
  assert.doesNotMatch(error.message, /undefined|null/, what);
}

async function tryForms(what: string, adapter: Adapter, grads: Tree, model: Model): Promise<void> {
  const expected = await trainedOf(grads);
  const { name: _, ...rest } = adapter;
  for (const [form, options] of Object.entries(FORMS)) {
    const at = `${what} as ${form}`;
    await inFolder(async (folder) => {
      const path = options.format === "gguf" ? `${folder}/adapter.gguf` : folder;
      try {
        await saveAdapter(path, { ...rest, params: grads }, model, options);
      } catch (error) {
        assertNamed(error, at);
        assert.deepEqual([...Deno.readDirSync(folder)], [], `${at}: nothing is written`);
        return;
      }
      let again: Adapter;
      try {
        again = await loadAdapter(path, model);
      } catch (error) {
        // PEFT's folders of gradients have PEFT's names and what PEFT trains, so that the two can be compared.
        assert.equal(form, "peft", `${at}: ${error}`);
        assert.match(
          (error as Error).message,
          /is missing|experts\/\w+" is an absolute path/,
          `${at}: ${error}`,
        );
        return;
      }
      if (!PULLED.test(what)) assert.deepEqual(await trainedOf(again.params), expected, at);
      dispose(again.params);
    });
  }
}

/** Gradients of a batch, in every form; and a copy of them, which no one can tell from parameters but by what it lacks. */
async function check(what: string, model: Model, adapter: Adapter, batch: Batch): Promise<void> {
  const { grads } = await lossAndGrad(model, adapter, batch);
  await tryForms(what, adapter, grads, model);
  const copy = copyTree(grads);
  const { name: _, ...rest } = adapter;
  for (const [form, options] of Object.entries(FORMS)) {
    await inFolder(async (folder) => {
      const path = options.format === "gguf" ? `${folder}/adapter.gguf` : folder;
      await saveAdapter(path, { ...rest, params: copy }, model, options).catch((error) =>
        assertNamed(error, `a copy of ${what} as ${form}`)
      );
    });
  }
  dispose([grads, copy]);
}

const TEXT: Batch = {
  inputIds: [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]],
  labels: [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]],
};

/** Parameters of their own that have moved from the start. */
const movedOn = (model: Model, method: Method): Adapter => ({
  method,
  params: scope((): Synchronous<Tree> =>
    mapTree(
      method.init({ model, key: 3 }),
      (leaf, path) =>
        leaf.dtype === "f32" ? add(leaf, normal(fold(key(9), path), leaf.shape, leaf.backend, 0.1)) : leaf,
    ) as Synchronous<Tree>
  ),
});

for (const definition of CREATED) {
  const { name } = definition;
  Deno.test(`gradients of ${name} are saved as they are, or refused`, () =>
    assertNoLeak(async () => {
      const backend = reference();
      const model = name === "cross-attention"
        ? await loadModel(`${GOLDEN}encoders/t5`, { backend })
        : name.startsWith("fused")
        ? tinyGpt2(backend, 1)
        : tinyLlama(backend, 1);
      // A copied start of DeLoRA is refused by PEFT folders whatever its parameters are.
      const method = name === "delora" ? namedMethod(name, { rank: 2 }) : created(definition, model.spec);
      const adapter = movedOn(model, method);
      const labels = hubLabels("t5");
      const batch = name === "cross-attention" ? { ...folderBatch("t5_lora"), labels } : TEXT;
      await check(name, model, adapter, batch);
      dispose(adapter.params);
      model.dispose();
    }));
}

Deno.test("gradients of compositions, masks, mixtures and intrinsic prompts are saved as they are, or refused", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const q = "model.layers.0.self_attn.q_proj.weight";
    const mask = { leaves: [{ path: q, shape: [16, 12], indices: Int32Array.of(3, 7, 20) }], whole: [] };
    const sources = Object.fromEntries(
      ["a", "b"].map((name) => [name, movedOn(model, pfeiffer({ reduction: 3 }))]),
    );
    const experts = Object.fromEntries(["a", "b"].map((name) => [name, movedOn(model, lora({ rank: 2 }))]));
    const prompts = Object.fromEntries(
      ["a", "b"].map((name) => [name, movedOn(model, promptTuning({ length: 2 }) as Method)]),
    );
    const coder = movedOn(model, iptAutoencoder({ prompts, task: "b", intrinsic: 3, hidden: 5 }) as Method);
    const methods: Readonly<Record<string, Method>> = {
      fishMask: fishMask({ mask }),
      ltSft: ltSft({ mask, pull: 0.1, maskable: 500 }),
      diffPruningFixed: diffPruningFixed({ mask: { ...mask, whole: ["lm_head.weight"] } }),
      far: far({ learners: { "model.layers.0.mlp.up_proj": Int32Array.of(0, 7) } }),
      unipelt: unipelt({ prefix: { length: 2, network: { hidden: 3 } }, lora: { rank: 2 } }),
      mam: mam({ prefix: { length: 2 } }) as unknown as Method,
      pTuningV2: pTuningV2({ length: 2 }) as unknown as Method,
      adapterFusion: adapterFusion({ adapters: sources }),
      averaged: averaged({ a: houlsby({ reduction: 4 }), b: lora({ rank: 2 }) }) as unknown as Method,
      routed: routed({ a: lora({ rank: 1 }), b: lora({ rank: 2 }) }) as unknown as Method,
      parallel: parallel({
        a: houlsby({ reduction: 4 }),
        b: pfeiffer({ reduction: 3 }),
      }) as unknown as Method,
      xlora: xlora({ experts }),
      "xlora that trains all": xlora({ experts, trains: "all" }),
      iptAutoencoder: coder.method,
      ipt: ipt({ autoencoder: coder }) as Method,
    };
    for (const [name, method] of Object.entries(methods)) {
      const adapter = method === coder.method ? coder : movedOn(model, method);
      await check(name, model, adapter, TEXT);
      if (adapter !== coder) dispose(adapter.params);
    }
    dispose([
      coder.params,
      ...[sources, experts, prompts].flatMap((all) => Object.values(all).map((one) => one.params)),
    ]);
    model.dispose();
  }));

for (
  const { name: kind } of [...Deno.readDirSync(`${GOLDEN}adapter_hub_folders`)].sort((a, b) =>
    a.name < b.name ? -1 : 1
  )
) {
  Deno.test(`gradients of AdapterHub's ${kind} are saved as they are, or refused`, () =>
    assertNoLeak(async () => {
      const model = await loadModel(hubModel(baseOf(kind)), { backend: reference() });
      const adapter = await loadAdapter(`${GOLDEN}adapter_hub_folders/${kind}`, model);
      const [own, labels] = [folderBatch(kind), hubLabels(baseOf(kind))];
      const times = own.inputIds.length / labels.length;
      const batch = { ...own, labels: Array.from({ length: times }, () => labels).flat() } as Batch;
      await check(kind, model, adapter, batch);
      dispose(adapter.params);
      model.dispose();
    }));
}

const PEFT = [...PEFT_FOLDERS, ...PEFT_PROMPT_FOLDERS].flatMap((root) =>
  [...Deno.readDirSync(`${GOLDEN}${root}`)].map(({ name }) => `${GOLDEN}${root}/${name}`)
).filter((path) => exists(`${path}/case.json`) && exists(`${path}/adapter_model.safetensors`)).sort();

for (const path of PEFT) {
  const name = path.split("/").at(-1)!;
  Deno.test(`gradients of PEFT's ${name} are saved as they are, or refused`, () =>
    assertNoLeak(async () => {
      const { base } = JSON.parse(Deno.readTextFileSync(`${path}/case.json`));
      const loaded = await loadModel(GOLDEN + base, { backend: reference() });
      const model = await modelOfAdapter(path, loaded);
      const adapter = await loadAdapter(path, model);
      await check(name, model, adapter, batchFor(name, model));
      dispose(adapter.params);
      loaded.dispose();
    }));
}

function batchFor(name: string, model: Model): Batch {
  const inputIds = [[1, 2, 3, 4, 5], [6, 7, 1, 2, 3]];
  const kind = model.architecture.labels(model);
  const labels = kind === "class"
    ? [0, 1]
    : kind === "next"
    ? inputIds
    : inputIds.map((row) => row.map(() => 1));
  const rows = name === "poly_tasks"
    ? ["2", "0"]
    : ["multitask", "multitask_t5"].includes(name)
    ? ["0", "1"]
    : undefined;
  return { inputIds, labels, ...rows && { rows } };
}

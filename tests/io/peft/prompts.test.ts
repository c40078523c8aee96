/**
 * Folders of soft prompts that HF PEFT wrote (tests/oracles/peft_prompt_folders.py): loaded, they compute what PEFT computes;
 * saved again, they hold what PEFT's folder holds. Tolerances: 1e-5 of the largest logit and 1e-4 of the largest gradient.
 */
import assert from "node:assert/strict";
import {
  type Adapter,
  type Batch,
  dispose,
  forward,
  graft,
  keep,
  leaves,
  lossAndGrad,
  type Method,
  type Model,
  read,
} from "../../../core/mod.ts";
import { openSafetensors } from "../../../formats/safetensors.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import {
  llamaAdapter,
  type LlamaAdapterOptions,
  prefixTuning,
  promptTuning,
  pTuning,
  pTuningV2,
} from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { inFolder } from "../../support/folder.ts";
import { caseFolders, GOLDEN, PEFT_PROMPT_FOLDERS } from "../../support/golden.ts";

const FOLDERS = caseFolders(PEFT_PROMPT_FOLDERS);
const CASES = [...FOLDERS.keys()].filter((name) => !name.startsWith("xlora"));
const folderOf = (name: string): string => GOLDEN + FOLDERS.get(name)!;

// deno-lint-ignore no-explicit-any
const json = (path: string): any => JSON.parse(Deno.readTextFileSync(path));

interface Stored {
  readonly shape: readonly number[];
  readonly numbers: Float32Array;
}

function tensorsOf(path: string): ReadonlyMap<string, Stored> {
  const file = openSafetensors(path);
  try {
    return new Map(
      [...file.tensors.values()].map((
        t,
      ) => [t.name, { shape: t.shape, numbers: new Float32Array(t.read().buffer) }]),
    );
  } finally {
    file.close();
  }
}

function batchOf(base: string): Batch {
  return json(base.startsWith("encoders/") ? `${GOLDEN}${base}/case.json` : `${GOLDEN}llama_lora/batch.json`);
}

async function withCase(
  name: string,
  run: (model: Model, adapter: Adapter, batch: Batch, expected: ReadonlyMap<string, Stored>) => Promise<void>,
): Promise<void> {
  await assertNoLeak(async () => {
    const { base, rows } = json(`${folderOf(name)}/case.json`);
    const model = await loadModel(GOLDEN + base, { backend: reference() });
    const adapter = await loadAdapter(folderOf(name), model);
    const batch = { ...batchOf(base), ...rows && { rows } }; // tasks by rows
    await run(model, adapter, batch, tensorsOf(`${folderOf(name)}/expected.safetensors`));
    dispose(adapter.params);
    model.dispose();
  });
}

async function logitsOf(model: Model, batch: Batch): Promise<Float32Array> {
  const { logits } = forward(model, batch);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers as Float32Array;
}

/** Fields in which our folder says the same in other words. */
const REWORDED: Readonly<Record<string, readonly string[]>> = {
  prefix_network: ["prefix_projection", "encoder_hidden_size"], // the network is gone: a table that can train on
  prefix_t5_network: ["prefix_projection", "encoder_hidden_size"],
};

/** Numbers of the table that PEFT's forward pass does not read: we write zeros there. */
const UNREAD: Readonly<Record<string, (i: number, n: number) => boolean>> = {
  prompt_t5: (i, n) => i >= n / 2,
  p_tuning_t5_mlp: (i, n) => i >= n / 2,
  p_tuning_t5_lstm: (i, n) => i >= n / 2,
  // Two and three layers of keys and values of 28 numbers: the second one's.
  prefix_t5: (i) => i % 112 >= 56,
  prefix_t5_network: (i) => i % 112 >= 56,
  prefix_t5_gated: (i) => i % 168 >= 56 && i % 168 < 112,
};

for (const name of CASES) {
  Deno.test(`loadAdapter() gives the logits, loss and gradients of PEFT: ${name}`, () =>
    withCase(name, async (model, adapter, batch, expected) => {
      const real = (all: ArrayLike<number>): readonly number[] => {
        const mask = name === "prefix_tags" ? batch.attentionMask!.flat() : undefined; // encoders give padding numbers too
        return Array.from(all).filter((_, i) => mask?.[Math.floor(i / (all.length / mask.length))] !== 0);
      };
      const found = await logitsOf(graft(model, adapter), batch);
      assertClose(real(found), real(expected.get("logits")!.numbers), 1e-5, "logits");
      const { loss, grads } = await lossAndGrad(model, adapter, batch);
      assertClose([loss], expected.get("loss")!.numbers, 1e-5, "loss");
      // CPT's offsets are stored with its tokens: their gradients have no place.
      if (name.startsWith("context")) {
        await inFolder((folder) =>
          assert.rejects(
            saveAdapter(folder, { ...adapter, params: grads }, model),
            /a PEFT folder has no place for "offsets"/,
          )
        );
        dispose(grads);
        return;
      }
      await inFolder(async (folder) => {
        await saveAdapter(folder, { ...adapter, params: grads }, model);
        const saved = tensorsOf(`${folder}/adapter_model.safetensors`);
        for (const [key, { numbers, shape }] of expected) {
          if (!key.startsWith("grad.")) continue;
          assert.deepEqual(saved.get(key.slice(5))?.shape, shape, key);
          assertClose(saved.get(key.slice(5))!.numbers, numbers, 1e-4, key);
        }
      });
      dispose(grads);
    }));

  Deno.test(`saveAdapter() writes the folder that PEFT wrote: ${name}`, () =>
    withCase(name, (model, adapter, batch) =>
      inFolder(async (folder) => {
        await saveAdapter(folder, adapter, model);
        const theirs = tensorsOf(`${folderOf(name)}/adapter_model.safetensors`);
        const ours = tensorsOf(`${folder}/adapter_model.safetensors`);
        assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort());
        for (const [key, { shape, numbers }] of theirs) {
          assert.deepEqual(ours.get(key)!.shape, shape, key);
          const read = numbers.map((x, i) => UNREAD[name]?.(i, numbers.length) ? 0 : x);
          assert.deepEqual(ours.get(key)!.numbers, read, key);
        }
        const [a, b] = [`${folder}/`, `${folderOf(name)}/`].map((path) => json(`${path}adapter_config.json`));
        for (const field of ["base_model_name_or_path", ...REWORDED[name] ?? []]) {
          delete a[field], delete b[field];
        }
        if (b.modules_to_save) b.modules_to_save = ["classifier"]; // of PEFT's names for heads the one there is
        assert.deepEqual(a, b);
        const again = await loadAdapter(folder, model);
        assert.deepEqual(
          await logitsOf(graft(model, again), batch),
          await logitsOf(graft(model, adapter), batch),
        );
        dispose(again.params);
      })));
}

Deno.test("saveAdapter() leaves out the networks that make prompts and prefixes", () =>
  assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
    const batch = batchOf("llama");
    const types: readonly (readonly [type: string, method: Method])[] = [
      ["P_TUNING", pTuning({ length: 3, encoder: { kind: "lstm", hidden: 5, inner: 10 } }) as Method],
      ["P_TUNING", pTuning({ length: 3 }) as Method], // the authors' sizes are PEFT's with k = d / 2
      ["PROMPT_TUNING", pTuning({ length: 3, encoder: { kind: "mlp" } }) as Method], // PEFT has no encoder of these sizes
      ["PREFIX_TUNING", prefixTuning({ length: 3, network: { hidden: 4 } })],
    ];
    for (const [type, method] of types) {
      const params = keep(method.init({ model, key: 3 }));
      const adapter: Adapter = { method, params: params.tree };
      await inFolder(async (folder) => {
        await saveAdapter(folder, adapter, model);
        assert.equal(json(`${folder}/adapter_config.json`).peft_type, type);
        const again = await loadAdapter(folder, model);
        assertClose(
          await logitsOf(graft(model, again), batch),
          await logitsOf(graft(model, adapter), batch),
          1e-6,
          type,
        );
        dispose(again.params);
      });
      params.dispose();
    }
    model.dispose();
  }));

Deno.test("saveAdapter() keeps the classifier of P-tuning v2 beside its prefix", () =>
  assertNoLeak(async () => {
    const base = `${GOLDEN}encoders/bert_text`;
    const model = await loadModel(base, { backend: reference() });
    const method = pTuningV2({ length: 2, positions: "always" }) as Method;
    const params = keep(method.init({ model, key: 3 }));
    await inFolder(async (folder) => {
      await saveAdapter(folder, { method, params: params.tree }, model);
      assert.deepEqual([...tensorsOf(`${folder}/adapter_model.safetensors`).keys()].sort(), [
        "base_model.classifier.bias",
        "base_model.classifier.weight",
        "prompt_embeddings",
      ]);
      const again = await loadAdapter(folder, model);
      assert.equal(leaves(again.params).length, 2 * 3 + 2);
      dispose(again.params);
      const none = pTuningV2({ length: 2 }) as Method;
      await assert.rejects(
        saveAdapter(folder, { method: none, params: params.tree }, model),
        /positions are "none"; train it with "always"/,
      );
    });
    params.dispose();
    model.dispose();
  }));

Deno.test("prompts that PEFT has not are refused with the reason", () =>
  assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
    const t5 = await loadModel(`${GOLDEN}encoders/t5`, { backend: reference() });
    const slots = promptTuning({ length: 2, where: { token: 3 } }) as Method;
    const params = keep(slots.init({ model, key: 0 }));
    const prefix = prefixTuning({ length: 2, network: "none" });
    const rows = keep(prefix.init({ model: t5, key: 0 }));
    await inFolder(async (folder) => {
      await assert.rejects(
        saveAdapter(folder, { method: slots, params: params.tree }, model),
        /before the embedded text/,
      );
      await assert.rejects(
        saveAdapter(folder, { method: prefix, params: rows.tree }, t5),
        /an encoder and a decoder has rows "peft", and its rows are "own"/,
      );
      assert.throws(
        () => prefixTuning({ length: 2, rows: "peft" }).init({ model, key: 0 }),
        /rows "peft": the model has not an encoder and a decoder/,
      );
      const deeper = { ...t5.spec, stacks: t5.spec.stacks.map((s) => ({ ...s, layers: 1 })) };
      assert.throws(
        () => prefixTuning({ length: 2, rows: "peft" }).edits({}, deeper),
        /for the encoder's 1 blocks, and the decoder has 2/,
      );
      const config = json(`${folderOf("prefix")}/adapter_config.json`);
      await Deno.copyFile(
        `${folderOf("prefix")}/adapter_model.safetensors`,
        `${folder}/adapter_model.safetensors`,
      );
      await Deno.writeTextFile(`${folder}/adapter_config.json`, JSON.stringify({ ...config, num_layers: 3 }));
      await assert.rejects(loadAdapter(folder, model), /num_layers/);
      await Deno.writeTextFile(
        `${folder}/adapter_config.json`,
        JSON.stringify({ ...config, num_virtual_tokens: 4 }),
      );
      await assert.rejects(
        loadAdapter(folder, model),
        /prompt_embeddings.*expected \[4, 48\] but found \[5, 48\]/,
      );
    });
    rows.dispose();
    params.dispose();
    t5.dispose();
    model.dispose();
  }));

Deno.test("LLaMA-Adapter's folders are refused where PEFT computes something else", () =>
  assertNoLeak(async () => {
    const refused = async (base: string, options: LlamaAdapterOptions, message: RegExp): Promise<void> => {
      const model = await loadModel(GOLDEN + base, { backend: reference() });
      const params = keep(llamaAdapter(options).init({ model, key: 3 }));
      await inFolder((folder) =>
        assert.rejects(
          saveAdapter(folder, { method: llamaAdapter(options), params: params.tree }, model),
          message,
        )
      );
      params.dispose();
      model.dispose();
    };
    const theirs = { gates: "block", squash: "none" } as const;
    await refused("llama_lora/base", { ...theirs, gates: "heads" }, /one gate per block and no tanh/);
    await refused("llama_lora/base", { ...theirs, squash: "tanh" }, /one gate per block and no tanh/);
    await refused(
      "peft_folders/bases/gpt2",
      theirs,
      /of a GPT-2 for PEFT, which adds it behind the output projection/,
    );
    await refused(
      "peft_folders/bases/qwen2",
      theirs,
      /of a qwen2 for PEFT, which has it on llama, mistral and gpt2/,
    );
    const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
    await inFolder(async (folder) => {
      for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
        Deno.copyFileSync(`${folderOf("adaption")}/${file}`, `${folder}/${file}`);
      }
      const config = json(`${folder}/adapter_config.json`);
      const write = (fields: object): void =>
        Deno.writeTextFileSync(`${folder}/adapter_config.json`, JSON.stringify({ ...config, ...fields }));
      write({ target_modules: "mlp" });
      await assert.rejects(
        loadAdapter(folder, model),
        /"target_modules" .* to be "self_attn" but found "mlp"/,
      );
      write({ adapter_layers: 3 });
      await assert.rejects(loadAdapter(folder, model), /llama-adapter in 3 blocks: the model has 2/);
    });
    model.dispose();
  }));

/** What loadAdapter refuses, and what it takes as harmless. */
import assert from "node:assert/strict";
import { type Adapter, bytesOf, leaves, type Model, type Tree } from "../../core/mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { writeSafetensors } from "../../formats/safetensors_write.ts";
import type { WritableTensor } from "../../formats/tensor_file.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { inFolder } from "../support/folder.ts";
import { GOLDEN } from "../support/golden.ts";

async function numbersOf(params: Tree): Promise<Record<string, unknown>> {
  const entries = await Promise.all(
    leaves(params).map(async ([path, t]) => [path, { shape: t.shape, bytes: await bytesOf(t) }] as const),
  );
  return Object.fromEntries(entries);
}

function free(adapter: Adapter): void {
  for (const [, t] of leaves(adapter.params)) t.storage.free();
}

/** PEFT's own folder for q_proj and v_proj, with its config or its tensors changed. */
async function withFolder(
  change: {
    readonly config?: Readonly<Record<string, unknown>>;
    readonly tensors?: (all: readonly WritableTensor[]) => readonly WritableTensor[];
  },
  run: (folder: string) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const from = `${GOLDEN}peft_folders/default_targets`;
    const config = JSON.parse(Deno.readTextFileSync(`${from}/adapter_config.json`));
    Deno.writeTextFileSync(`${folder}/adapter_config.json`, JSON.stringify({ ...config, ...change.config }));
    const file = openSafetensors(`${from}/adapter_model.safetensors`);
    const tensors = [...file.tensors.values()];
    await writeSafetensors(`${folder}/adapter_model.safetensors`, change.tensors?.(tensors) ?? tensors);
    file.close();
    await run(folder);
  });
}

const withTiny = async (run: (model: Model) => Promise<void>): Promise<void> => {
  await assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
    await run(model);
    model.dispose();
  });
};

Deno.test("loadAdapter() names the field that it cannot honour", () =>
  withTiny(async (model) => {
    const refused: Readonly<Record<string, readonly [unknown, RegExp]>> = {
      alora_invocation_tokens: [[1, 2], /activated LoRA/],
      use_qalora: [true, /QALoRA/],
      layer_replication: [
        [[0, 1], [0, 2]],
        /a model of 3 layers, .* replicateLayers\(base, \[\[0,1\],\[0,2\]\]\)/,
      ],
      target_parameters: [
        ["mlp.experts.down_proj"],
        /"mlp\.experts\.down_proj" of target_parameters matches no parameter/,
      ],
      "target_parameters ": [
        ["up_proj"],
        /"up_proj" of target_parameters matches no parameter .* mlp\.up_proj\.weight/,
      ],
      " target_parameters": [
        ["q_proj.weight"],
        /q_proj" is meant by target_modules and by target_parameters/,
      ],
      " target_parameters ": [
        ["mlp.up_proj.weight", "norm.weight"],
        /"norm\.weight" .* means "model\.norm\.weight", a vector/,
      ],
      "target_parameters  ": [
        "mlp.up_proj.weight,",
        /"mlp\.up_proj\.weight," of target_parameters matches no/,
      ],
      megatron_config: [{ a: 1 }, /Megatron/],
      kasa_config: [{ a: 1 }, /KaSA/],
      an_invention: [0.5, /not known and could change/],
      init_lora_weights: ["pissa_niter_4", /init_lora_weights "pissa_niter_4": that changed the base/],
      bias: ["some", /"bias" .* but found "some"/],
      r: ["8", /"r" .* a number but found "8"/],
      target_modules: [["q_proj", "w_proj"], /"w_proj" matches no layer .*q_proj/],
      layers_to_transform: [[7], /match no layer.*layers_to_transform/],
      exclude_modules: [["q_proj", "v_proj"], /match no layer.*exclude_modules/],
      modules_to_save: [["score"], /"score" of modules_to_save matches no module/],
      trainable_token_indices: [[99], /below 37 .* found 99/],
      "trainable_token_indices ": [
        { embed_tokens: [1, 2], lm_head: [3] },
        /Cannot train other rows of "lm_head" than of "model\.embed_tokens", to which it is tied/,
      ],
    };
    for (const [name, [value, reason]] of Object.entries(refused)) {
      await withFolder(
        { config: { [name.trim()]: value } },
        (folder) => assert.rejects(loadAdapter(folder, model), reason, name),
      );
    }
    const nested: readonly (readonly [readonly string[], readonly string[], RegExp])[] = [
      [["q_proj"], ["mlp", "mlp.up_proj"], /"mlp\.up_proj" of modules_to_save .* which lies in .* "mlp"/],
      [["down_proj"], ["q_proj", "self_attn"], /"q_proj" of modules_to_save .* which lies in .* "self_attn"/],
    ];
    for (const [target_modules, modules_to_save, reason] of nested) {
      await withFolder(
        { config: { target_modules, modules_to_save } },
        (folder) => assert.rejects(loadAdapter(folder, model), reason),
      );
    }
    for (
      const [field, value] of [["lora_dropout", 0.5], ["lora_bias", true], ["use_dora", true], [
        "fan_in_fan_out",
        true,
      ]] as const
    ) {
      const config = { target_modules: [], target_parameters: ["mlp.up_proj.weight"], [field]: value };
      await withFolder(
        { config },
        (folder) =>
          assert.rejects(loadAdapter(folder, model), new RegExp(`no target_parameters with "${field}"`)),
      );
    }
    const started = {
      target_modules: [],
      target_parameters: ["mlp.up_proj.weight"],
      init_lora_weights: "pissa",
    };
    await withFolder(
      { config: started },
      (folder) => assert.rejects(loadAdapter(folder, model), /"pissa" and target_parameters/),
    );
    const malformed = { target_modules: "(q|v_proj" };
    await withFolder(
      { config: malformed },
      (folder) => assert.rejects(loadAdapter(folder, model), /Cannot read the pattern/),
    );
    const other = { peft_type: "AN_INVENTION" };
    await withFolder(
      { config: other },
      (folder) => assert.rejects(loadAdapter(folder, model), /of type AN_INVENTION/),
    );
  }));

Deno.test("loadAdapter() ignores fields that are off or say nothing of the result", () =>
  withTiny(async (model) => {
    const config = {
      an_invention: null,
      another: false,
      a_third: [],
      eva_config: { rho: 2 },
      runtime_config: { ephemeral_gpu_offload: false },
      init_lora_weights: "eva",
      inference_mode: false,
      revision: "main",
      base_model_name_or_path: "org/other",
      lora_dropout: null,
    };
    await withFolder({ config }, async (folder) => free(await loadAdapter(folder, model)));
  }));

Deno.test("loadAdapter() takes keys without a prefix", () =>
  withTiny(async (model) => {
    const bare = (all: readonly WritableTensor[]) =>
      all.map((t) => ({ ...t, name: t.name.replace("base_model.model.", "") }));
    await withFolder({ tensors: bare }, async (folder) => {
      const [one, two] = [
        await loadAdapter(folder, model),
        await loadAdapter(`${GOLDEN}peft_folders/default_targets`, model),
      ];
      assert.deepEqual(await numbersOf(one.params), await numbersOf(two.params));
      free(one);
      free(two);
    });
  }));

Deno.test("loadAdapter() names keys that are missing, unexpected or of the wrong shape", () =>
  withTiny(async (model) => {
    const key = "model.layers.1.self_attn.v_proj.lora_B.weight";
    const without = (all: readonly WritableTensor[]) => all.filter((t) => !t.name.endsWith(key));
    await withFolder(
      { tensors: without },
      (folder) =>
        assert.rejects(loadAdapter(folder, model), new RegExp(`"${RegExp.escape(key)}" is missing`)),
    );
    const renamed = (all: readonly WritableTensor[]) =>
      all.map((t) => t.name.endsWith(key) ? { ...t, name: t.name.replace("lora_B", "lora_C") } : t);
    await withFolder(
      { tensors: renamed },
      (folder) =>
        assert.rejects(loadAdapter(folder, model), /is missing; ".*lora_C\.weight" is not expected/),
    );
    const turned = (all: readonly WritableTensor[]) =>
      all.map((t) => t.name.endsWith(key) ? { ...t, shape: [...t.shape].reverse() } : t);
    await withFolder(
      { tensors: turned },
      (folder) =>
        assert.rejects(loadAdapter(folder, model), /lora_B\.weight": expected \[12, 3\] but found \[3, 12\]/),
    );
    // A folder of another version says so.
    const [later, older] = [{ peft_version: "0.30.0" }, { peft_version: "0.18.0" }];
    await withFolder(
      { tensors: renamed, config: older },
      (folder) =>
        assert.rejects(
          loadAdapter(folder, model),
          /not expected; it was saved by PEFT 0\.18\.0, .*0\.21\.2's/,
        ),
    );
    await withFolder(
      { config: { ...later, an_invention: 1 } },
      (folder) =>
        assert.rejects(
          loadAdapter(folder, model),
          /"an_invention" .* computes; it was saved by PEFT 0\.30\.0/,
        ),
    );
    await withFolder({ config: later }, async (folder) => free(await loadAdapter(folder, model)));
    const whole = (all: readonly WritableTensor[]) =>
      all.map((t) => t.name.endsWith(key) ? { ...t, dtype: "i32" as const } : t);
    await withFolder(
      { tensors: whole },
      (folder) =>
        assert.rejects(loadAdapter(folder, model), /lora_B\.weight" holds integers, not weights \(i32\)/),
    );
    const twice = (all: readonly WritableTensor[]) => [...all, { ...all[0]!, name: all[0]!.name.slice(17) }];
    await withFolder(
      { tensors: twice },
      (folder) => assert.rejects(loadAdapter(folder, model), /with and without the prefix/),
    );
    // Another base: its name is in the message, the shapes decide.
    const other = await loadModel(`${GOLDEN}peft_folders/bases/llama_untied`, { backend: reference() });
    await withFolder(
      {},
      (folder) =>
        assert.rejects(
          loadAdapter(folder, other),
          /its base was .*llama_lora.*expected \[3, 12\] but found \[3, 24\]/,
        ),
    );
    other.dispose();
  }));

Deno.test("loadAdapter() refuses a tied tensor that is stored twice with other numbers", async () => {
  await assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}peft_folders/bases/qwen2`, { backend: reference() });
    await inFolder(async (folder) => {
      const from = `${GOLDEN}peft_folders/only_tokens_tied`;
      Deno.copyFileSync(`${from}/adapter_config.json`, `${folder}/adapter_config.json`);
      const file = openSafetensors(`${from}/adapter_model.safetensors`);
      const tensors = [...file.tensors.values()].map((t) =>
        t.name.includes("lm_head") ? { ...t, read: () => t.read().fill(0) } : t
      );
      await writeSafetensors(`${folder}/adapter_model.safetensors`, tensors);
      file.close();
      await assert.rejects(loadAdapter(folder, model), /"lm_head\.trainable_tokens_delta" differs from/);
    });
    model.dispose();
  });
});

Deno.test("loadAdapter() says what a folder lacks, and never opens pickled weights", () =>
  withTiny(async (model) => {
    await withFolder({}, async (folder) => {
      Deno.renameSync(`${folder}/adapter_model.safetensors`, `${folder}/adapter_model.bin`);
      await assert.rejects(loadAdapter(folder, model), /adapter_model\.bin is a pickle file/);
      Deno.removeSync(`${folder}/adapter_model.bin`);
      await assert.rejects(loadAdapter(folder, model), /has no adapter_model\.safetensors/);
      Deno.writeTextFileSync(`${folder}/adapter_config.json`, '{"config": {}}');
      await assert.rejects(loadAdapter(folder, model), /no "peft_type"/);
      Deno.removeSync(`${folder}/adapter_config.json`);
      await assert.rejects(loadAdapter(folder, model), /has no adapter_config\.json/);
    });
    await assert.rejects(loadAdapter("/no/such/folder", model), /no such folder/);
  }));

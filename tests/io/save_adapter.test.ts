/** What saveAdapter and loadAdapter refuse, and that saving then loading is the identity. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Adapter,
  at,
  bytesOf,
  compose,
  keep,
  layers,
  leaves,
  type Method,
  type Model,
  type Tree,
} from "../../core/mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { writeSafetensors } from "../../formats/safetensors_write.ts";
import type { WritableTensor } from "../../formats/tensor_file.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import {
  dora,
  fullFineTune,
  ia3,
  lora,
  modulesToSave,
  only,
  pfeiffer,
  trainableTokens,
} from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { GOLDEN } from "../support/golden.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await run(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

async function withMade(
  model: Model,
  method: Method,
  run: (adapter: Adapter) => Promise<void>,
  name?: string,
): Promise<void> {
  const root = keep(method.init({ model, key: 3 }));
  try {
    await run({ method, params: root.tree, ...name !== undefined && { name } });
  } finally {
    root.dispose();
  }
}

async function numbersOf(params: Tree): Promise<Record<string, unknown>> {
  const entries = await Promise.all(
    leaves(params).map(async ([path, t]) => [path, { shape: t.shape, bytes: await bytesOf(t) }] as const),
  );
  return Object.fromEntries(entries);
}

function free(adapter: Adapter): void {
  for (const [, t] of leaves(adapter.params)) t.storage.free();
}

const NAMES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const loraOptions = fc.record({
  rank: fc.integer({ min: 1, max: 3 }).map((n) => 2 * n),
  alpha: fc.integer({ min: 1, max: 9 }),
  targets: fc.oneof(
    fc.constant("all-linear" as const),
    fc.subarray(NAMES, { minLength: 1 }),
    fc.constant(/.*(?<which>k|down)_proj/),
    fc.constant(["lm_head", "v_proj"]),
  ),
  scaling: fc.constantFrom("standard" as const, "rankStabilized" as const),
  dropout: fc.constantFrom(0, 0.25),
  rankPattern: fc.constantFrom({}, { "layers\\.1\\.mlp\\.down_proj": 3 }),
  initialization: fc.constantFrom("default", "gaussian", "orthogonal", "none"),
  branchBias: fc.boolean(),
}, { requiredKeys: ["rank"] });

Deno.test("saveAdapter() then loadAdapter() is the identity", async () => {
  const model = tinyLlama(reference(), 5);
  await fc.assert(
    fc.asyncProperty(
      // deno-lint-ignore no-explicit-any
      loraOptions as fc.Arbitrary<any>,
      fc.constantFrom("lora", "dora", "ia3"),
      fc.subarray(["saved", "tokens"]),
      (options, main, extras) =>
        assertNoLeak(async () => {
          const { initialization, ...rest } = options;
          // Orthogonal needs even ranks everywhere; DoRA has no bias of its own.
          const safe = { ...rest, ...options.rankPattern ? {} : initialization && { initialization } };
          const { branchBias: _, ...plain } = safe;
          const adapted = main === "ia3"
            ? ia3({ ...options.targets && { targets: options.targets } })
            : main === "dora"
            ? dora(plain)
            : lora(safe);
          const parts = {
            adapter: adapted,
            ...extras.includes("saved") && { saved: modulesToSave({ modules: ["model.norm"] }) },
            ...extras.includes("tokens") && main !== "ia3" && { tokens: trainableTokens({ tokens: [2, 9] }) },
          };
          const method = Object.keys(parts).length === 1 ? adapted : compose(parts);
          await withMade(model, method, (adapter) =>
            inFolder(async (folder) => {
              await saveAdapter(folder, adapter, model);
              const again = await loadAdapter(folder, model);
              assert.equal(again.method.name, method.name);
              assert.deepEqual(await numbersOf(again.params), await numbersOf(adapter.params));
              // The second folder is the first, byte for byte.
              await saveAdapter(`${folder}/twice`, again, model);
              for (const file of ["adapter_config.json", "adapter_model.safetensors", "README.md"]) {
                const [one, two] = [`${folder}/${file}`, `${folder}/twice/${file}`].map((path) =>
                  Deno.readFileSync(path)
                );
                assert.deepEqual(two, one, file);
              }
              free(again);
            }));
        }),
    ),
    { numRuns: 40 },
  );
  model.dispose();
});

Deno.test("saveAdapter() names the layers of a narrowed method", async () => {
  const model = tinyLlama(reference(), 5);
  await withMade(
    model,
    at(layers(1, 2), lora({ rank: 2, targets: ["q_proj"] })),
    (adapter) =>
      inFolder(async (folder) => {
        await saveAdapter(folder, adapter, model);
        const config = JSON.parse(Deno.readTextFileSync(`${folder}/adapter_config.json`));
        assert.deepEqual(config.target_modules, ["1.self_attn.q_proj"]);
        const again = await loadAdapter(folder, model);
        assert.deepEqual(await numbersOf(again.params), await numbersOf(adapter.params));
        free(again);
      }),
  );
  model.dispose();
});

Deno.test("saveAdapter() saves whole weights chosen by `only` as modules", async () => {
  const model = tinyLlama(reference(), 5);
  const method = compose({
    a: compose({ b: lora({ rank: 1 }) }),
    c: only({ parameters: ["model.norm.weight"] }),
  });
  await withMade(model, method, (adapter) =>
    inFolder(async (folder) => {
      await saveAdapter(folder, adapter, model);
      const config = JSON.parse(Deno.readTextFileSync(`${folder}/adapter_config.json`));
      assert.deepEqual(config.modules_to_save, ["model.norm"]);
      const file = openSafetensors(`${folder}/adapter_model.safetensors`);
      assert.ok(file.tensors.has("base_model.model.model.norm.weight"));
      assert.ok(file.tensors.has("base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"));
      file.close();
    }));
  model.dispose();
});

Deno.test("saveAdapter() puts a named adapter into its folder and writes a card", async () => {
  const model = { ...tinyLlama(reference(), 5), source: "org/base" };
  await withMade(model, lora({ rank: 1 }), (adapter) =>
    inFolder(async (folder) => {
      const card = { licence: "apache-2.0", data: "sha256:00ff", command: "graft finetune x" };
      await saveAdapter(folder, adapter, model, { card });
      assert.deepEqual([...Deno.readDirSync(`${folder}/second`)].map((entry) => entry.name).sort(), [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
      ]);
      const text = Deno.readTextFileSync(`${folder}/second/README.md`);
      // 2 layers of q [16, 12] and v [8, 12] at rank 1: 2 · (28 + 20)
      for (
        const part of [
          'base_model: "org/base"',
          'license: "apache-2.0"',
          "sha256:00ff",
          "graft finetune x",
          "| 96, ",
        ]
      ) {
        assert.ok(text.includes(part), `${part} in ${text}`);
      }
      const config = JSON.parse(Deno.readTextFileSync(`${folder}/second/adapter_config.json`));
      assert.equal(config.base_model_name_or_path, "org/base");
      await assert.rejects(loadAdapter(folder, model), /it holds second; say which with \{ name \}/);
      const again = await loadAdapter(folder, model, { name: "second" });
      assert.equal(again.name, "second");
      free(again);
    }), "second");
  model.dispose();
});

Deno.test("saveAdapter() refuses names under which PEFT loses weights", async () => {
  const model = tinyLlama(reference(), 5);
  const refused = {
    "0": /module of that name/,
    q_proj: /module of that name/,
    lora_A: /module of that name/,
    lora: /part of its own key names/,
    "a.b": /without dots and slashes/,
    "../x": /without dots and slashes/,
  };
  for (const [name, reason] of Object.entries(refused)) {
    await withMade(model, lora({ rank: 1 }), (adapter) =>
      inFolder(async (folder) => {
        await assert.rejects(saveAdapter(folder, adapter, model), reason, name);
        assert.deepEqual([...Deno.readDirSync(folder)], []);
      }), name);
  }
  model.dispose();
});

Deno.test("saveAdapter() refuses what a PEFT folder cannot hold", async () => {
  const [model, tied] = [tinyLlama(reference(), 5), tinyGpt2(reference(), 5)];
  const two = compose({ a: lora({ rank: 1 }), b: lora({ rank: 1, targets: ["k_proj"] }) });
  const inside = compose({
    a: lora({ targets: "all-linear" }),
    b: modulesToSave({ modules: ["layers.1.mlp"] }),
  });
  const refused: readonly (readonly [Model, Method, RegExp])[] = [
    [model, pfeiffer({ reduction: 4 }) as Method, /Cannot save "pfeiffer" as a PEFT folder/],
    [model, fullFineTune(), /Cannot save "fullFineTune" as a PEFT folder/],
    [model, two, /one main part, not two/],
    [model, inside, /"model\.layers\.1\.mlp\.gate_proj" is adapted and lies in a saved module/],
    [model, modulesToSave({ modules: ["lm_head"] }), /whole modules alone/],
    [tied, compose({ a: ia3(), b: modulesToSave({ modules: ["wte"] }) }), /tied embedding beside IA3/],
    [model, trainableTokens({ tokens: { embed_tokens: [1], lm_head: [2] } }), /PEFT has one list/],
  ];
  for (const [base, method, reason] of refused) {
    await withMade(
      base,
      method,
      (adapter) => inFolder((folder) => assert.rejects(saveAdapter(folder, adapter, base), reason)),
    );
  }
  await withMade(model, lora({ rank: 2 }), async (adapter) => {
    const other = { method: lora({ rank: 3 }), params: adapter.params };
    await inFolder((folder) =>
      assert.rejects(saveAdapter(folder, other, model), /q_proj\.a: expected \[3, 12\] but found \[2, 12\]/)
    );
  });
  model.dispose();
  tied.dispose();
});

/** PEFT's own folder for q_proj and v_proj, with its config or its tensors changed. */
async function withFolder(
  change: {
    readonly config?: Readonly<Record<string, unknown>>;
    readonly tensors?: (all: readonly WritableTensor[]) => readonly WritableTensor[];
  },
  run: (folder: string) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const from = `${GOLDEN}peft/default_targets`;
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
    const model = await loadModel(`${GOLDEN}llama_tiny/base`, { backend: reference() });
    await run(model);
    model.dispose();
  });
};

Deno.test("loadAdapter() names the field that it cannot honour", () =>
  withTiny(async (model) => {
    const refused: Readonly<Record<string, readonly [unknown, RegExp]>> = {
      alora_invocation_tokens: [[1, 2], /activated LoRA/],
      use_qalora: [true, /QALoRA/],
      layer_replication: [[[0, 1], [0, 2]], /repeated layers/],
      target_parameters: [["mlp.experts.down_proj"], /bare parameters/],
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
    };
    for (const [name, [value, reason]] of Object.entries(refused)) {
      await withFolder({ config: { [name]: value } }, (folder) =>
        assert.rejects(loadAdapter(folder, model), reason, name));
    }
    const malformed = { target_modules: "(q|v_proj" };
    await withFolder({ config: malformed }, (folder) =>
      assert.rejects(loadAdapter(folder, model), /Cannot read the pattern/));
    const other = { peft_type: "VBLORA" };
    await withFolder({ config: other }, (folder) =>
      assert.rejects(loadAdapter(folder, model), /of type VBLORA/));
    const tied = { ensure_weight_tying: true, target_modules: ["embed_tokens"] };
    await withFolder({ config: tied }, (folder) =>
      assert.rejects(loadAdapter(folder, model), /shares A and B/));
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
        await loadAdapter(`${GOLDEN}peft/default_targets`, model),
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
    const twice = (all: readonly WritableTensor[]) => [...all, { ...all[0]!, name: all[0]!.name.slice(17) }];
    await withFolder(
      { tensors: twice },
      (folder) => assert.rejects(loadAdapter(folder, model), /with and without the prefix/),
    );
    // Another base: its name is in the message, the shapes decide.
    const other = await loadModel(`${GOLDEN}peft/bases/llama_untied`, { backend: reference() });
    await withFolder(
      {},
      (folder) =>
        assert.rejects(
          loadAdapter(folder, other),
          /its base was .*llama_tiny.*expected \[3, 12\] but found \[3, 24\]/,
        ),
    );
    other.dispose();
  }));

Deno.test("loadAdapter() refuses a tied tensor that is stored twice with other numbers", async () => {
  await assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}peft/bases/qwen2`, { backend: reference() });
    await inFolder(async (folder) => {
      const from = `${GOLDEN}peft/only_tokens_tied`;
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

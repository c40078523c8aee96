/** What saveAdapter refuses, and that saving then loading is the identity. */
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
import { loadAdapter } from "../../io/load_adapter.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import {
  beft,
  c3a,
  deft,
  delora,
  dora,
  fourierft,
  fullFineTune,
  gralora,
  hira,
  hra,
  ia3,
  lily,
  loha,
  lokr,
  lora,
  miss,
  modulesToSave,
  oft,
  only,
  peanut,
  pfeiffer,
  pvera,
  randlora,
  road,
  shira,
  trainableTokens,
  uniLora,
  vbLora,
  vera,
  waveft,
} from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { inFolder } from "../support/folder.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";

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
  rankPattern: fc.constantFrom({}, { "layers\\.1\\..*": 3 }),
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

Deno.test("saveAdapter() refuses names under which PEFT loses weights of this very method", async () => {
  // PEFT 0.21: LoHa adapters "first" and "hada_w1_a" in one model; the saved "first" has no hada_w1_a.
  const cases: readonly (readonly [Method, string])[] = [
    [loha({ rank: 2 }), "hada_w1_a"],
    [lokr({ rank: 2 }), "lokr_w1"],
    [oft(), "oft_R"],
    [vera({ rank: 2 }), "vera_lambda_b"],
    [lily({ rank: 2, mean: "batch" }), "lily_A"],
    [hra({ rank: 2 }), "hra_u"],
    [miss({ rank: 2 }), "miss_block"],
    [fourierft({ frequencies: 4 }), "fourierft_spectrum"],
    [road(), "road_theta"],
    [delora({ rank: 2 }), "delora_A"],
    [hira({ rank: 2 }), "hira_B"],
    [shira({ rank: 1 }), "shira_weight"],
    [gralora({ rank: 2 }), "gralora_A"],
    [waveft({ frequencies: 4 }), "waveft_spectrum"],
    [c3a({ block: 4 }), "c3a_kernel"],
    [pvera({ rank: 2 }), "pvera_lambda_b"],
    [vbLora({ vectors: 3, length: 4 }), "vblora_logits_A"],
    [deft({ rank: 2 }), "deft_P"],
    [peanut({ rank: 2 }), "peanut_A"],
    [beft(), "beft_bias"],
    [randlora({ rank: 4 }), "randlora_lambda"],
    [loha({ rank: 2 }), "hada"],
    [oft(), "oft"],
    [ia3(), "ia3"],
  ];
  await inFolder(async (folder) => {
    const model = tinyLlama(reference(), 1, { width: 32, inner: 32, headDim: 8 });
    for (const [method, name] of cases) {
      await withMade(model, method, async (adapter) => {
        await assert.rejects(saveAdapter(folder, adapter, model), /under the name/, `${method.name} ${name}`);
        assert.deepEqual([...Deno.readDirSync(folder)], []);
      }, name);
    }
    model.dispose();
  });
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

Deno.test("saveAdapter() names no saved module inside another, which PEFT could not load", async () => {
  const model = tinyLlama(reference(), 5);
  const modules = ["mlp.up_proj", "layers.1.mlp", "norm"];
  const method = compose({ a: lora({ rank: 1 }), b: modulesToSave({ modules }) });
  await withMade(model, method, (adapter) =>
    inFolder(async (folder) => {
      await saveAdapter(folder, adapter, model);
      const { modules_to_save } = JSON.parse(Deno.readTextFileSync(`${folder}/adapter_config.json`));
      assert.deepEqual(modules_to_save, ["model.layers.0.mlp.up_proj", "model.layers.1.mlp", "model.norm"]);
      const again = await loadAdapter(folder, model);
      const counted = (tree: Tree): number => leaves(tree).reduce((n, [, t]) => n + t.size, 0);
      assert.equal(counted(again.params), counted(adapter.params));
      free(again);
    }));
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
    [model, fullFineTune(), /Cannot save "full-fine-tune" as a PEFT folder/],
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

Deno.test("saveAdapter() of a method with no parameter at a layer names the layers that it changes", async () => {
  await inFolder(async (folder) => {
    const model = tinyLlama(reference(), 1);
    const options = { dimension: 9, assignment: "balanced", bound: 1 } as const;
    const narrowed = at((place) => place.kind === "linear" && place.role === "value", uniLora(options));
    await withMade(model, narrowed, async (adapter) => {
      await saveAdapter(folder, adapter, model);
      const config = JSON.parse(Deno.readTextFileSync(`${folder}/adapter_config.json`));
      assert.deepEqual(config.target_modules, ["v_proj"]);
    });
    const spread = uniLora({ ...options, assignment: "uniform" });
    await withMade(
      model,
      spread,
      (adapter) =>
        assert.rejects(saveAdapter(folder, adapter, model, { format: "peft" }), /assignment "balanced"/),
    );
    model.dispose();
  });
});

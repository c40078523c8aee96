/** Adapters in GGUF files: the bytes of llama.cpp's converter, and the logits of PEFT. That llama.cpp itself runs them is
 * shown by tests/oracles/gguf_in_llama_cpp.py. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Adapter,
  compose,
  forward,
  graft,
  keep,
  leaves,
  type Method,
  type Model,
  nest,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import { openGguf } from "../../formats/gguf.ts";
import { writeGguf } from "../../formats/gguf_write.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter, type SaveAdapterOptions } from "../../io/save_adapter.ts";
import { adalora, bitfit, dora, lokr, lora, loraPlus, pfeiffer, vera } from "../../methods/mod.ts";
import { pissaDefinition } from "../../methods/low_rank/pissa.ts";
import { add } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { GOLDEN, goldenNumbers } from "../support/golden.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";

const BATCH = JSON.parse(Deno.readTextFileSync(`${GOLDEN}peft_folders/batch.json`));
const CASES = ["random", "all_linear", "embedding_untied", "gaussian"] as const;
const TINY = {
  inputIds: [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]],
  attentionMask: [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1]],
};
const backend = reference();

async function logitsOf(model: Model, batch: typeof TINY): Promise<Float32Array> {
  const { logits } = forward(model, batch);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

/** Runs with a folder, a base that golden cases name, and a check that nothing is left behind. */
async function withCase(
  name: string,
  run: (model: Model, folder: string) => Promise<void>,
): Promise<void> {
  const { base } = JSON.parse(Deno.readTextFileSync(`${GOLDEN}peft_folders/${name}/case.json`));
  await withModel(() => loadModel(GOLDEN + base, { backend }), run);
}

async function withModel(
  make: () => Model | Promise<Model>,
  run: (model: Model, folder: string) => Promise<void>,
): Promise<void> {
  await assertNoLeak(async () => {
    const folder = Deno.makeTempDirSync();
    const model = await make();
    try {
      await run(model, folder);
    } finally {
      Deno.removeSync(folder, { recursive: true });
      model.dispose();
    }
  });
}

async function withMade(model: Model, method: Method, run: (a: Adapter) => Promise<void>): Promise<void> {
  const root = keep(method.init({ model, key: 3 }));
  try {
    await run({ method, params: root.tree });
  } finally {
    root.dispose();
  }
}

/** The logits with an adapter on top; frees it. */
async function tunedLogits(model: Model, adapter: Adapter, batch = TINY): Promise<Float32Array> {
  const owned = keep(adapter.params);
  const tuned = graft(model, adapter);
  const logits = await logitsOf(tuned, batch);
  owned.dispose();
  return logits;
}

for (const name of CASES) {
  Deno.test(`saveAdapter() to GGUF writes what llama.cpp's converter writes: ${name}`, () =>
    withCase(name, async (model, folder) => {
      const adapter = await loadAdapter(`${GOLDEN}peft_folders/${name}`, model);
      const owned = keep(adapter.params);
      await saveAdapter(`${folder}/ours.gguf`, adapter, model);
      owned.dispose();
      const [ours, theirs] = [
        openGguf(`${folder}/ours.gguf`),
        openGguf(`${GOLDEN}gguf_adapter/${name}.gguf`),
      ];
      assert.deepEqual([...ours.tensors.keys()].sort(), [...theirs.tensors.keys()].sort());
      for (const [key, t] of theirs.tensors) {
        const found = ours.tensors.get(key)!;
        assert.deepEqual([found.dtype, found.shape], [t.dtype, t.shape], key);
        assert.deepEqual(found.read(), t.read(), key);
      }
      for (const key of ["general.architecture", "general.type", "adapter.type", "adapter.lora.alpha"]) {
        assert.deepEqual(ours.fields.get(key), theirs.fields.get(key), key);
      }
      ours.close();
      theirs.close();
    }));

  Deno.test(`loadAdapter() of the converter's GGUF file gives PEFT's logits: ${name}`, () =>
    withCase(name, async (model, folder) => {
      const adapter = await loadAdapter(`${GOLDEN}gguf_adapter/${name}.gguf`, model);
      await saveAdapter(folder, adapter, model); // and as a PEFT folder
      const expected = goldenNumbers(`peft_folders/${name}/expected.safetensors`).get("logits")!;
      assertClose(await tunedLogits(model, adapter, BATCH), expected, 1e-5, "from GGUF");
      const again = await loadAdapter(folder, model);
      assertClose(await tunedLogits(model, again, BATCH), expected, 1e-5, "from PEFT");
    }));
}

Deno.test("saveAdapter() to GGUF and back keeps the logits, whatever ranks and scales", async () => {
  const models = [
    () => tinyLlama(backend, 1),
    () => tinyGpt2(backend, 2),
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...models),
      fc.record({
        rank: fc.integer({ min: 1, max: 4 }),
        alpha: fc.constantFrom(0, 1, 3, 7.5),
        scaling: fc.constantFrom("standard" as const, "rankStabilized" as const),
        rankPattern: fc.constantFrom({}, { "(layers\\.1|h\\.0)\\..*": 3 }),
        alphaPattern: fc.constantFrom({}, { ".*\\.1\\..*": 2 }),
        initialization: fc.constant("none" as const),
        targets: fc.constant("all-linear" as const),
      }),
      fc.constantFrom(lora, loraPlus),
      (make, options, method) =>
        withModel(make, (model, folder) =>
          withMade(model, method(options), async (adapter) => {
            const tuned = graft(model, adapter);
            const expected = await logitsOf(tuned, TINY);
            await saveAdapter(folder, adapter, model, { format: "gguf" });
            const loaded = await loadAdapter(`${folder}/adapter.gguf`, model);
            assertClose(await tunedLogits(model, loaded), expected, 1e-5, "logits");
          })),
    ),
    { numRuns: 25 },
  );
});

/** AdaLoRA with singular values that are not zero. */
function awake(method: Method): Method {
  const values = (context: Parameters<Method["init"]>[0]): Tree =>
    scope((): Synchronous<Tree> =>
      nest(
        leaves(method.init(context)).map(([path, t]) =>
          [path, path.endsWith(".e") ? add(t, 0.7) : t] as const
        ),
      ) as Synchronous<Tree>
    );
  return { ...method, init: values };
}

const SUMS: readonly (readonly [string, Method, SaveAdapterOptions, number])[] = [
  ["vera", vera({ rank: 3, initialD: 0.5 }), { lora: { error: 0 } }, 1e-5],
  ["adalora", awake(adalora({ rank: 3 })), {}, 1e-5],
  [
    "a sum of LoRAs",
    compose({
      a: lora({ rank: 2, initialization: "none" }),
      b: lora({ rank: 1, alpha: 3, initialization: "none" }),
    }),
    {},
    1e-5,
  ],
  ["dora, every rank kept", dora({ rank: 2, initialization: "none" }), { lora: { error: 0 } }, 1e-5],
  ["lokr, cut", lokr({ rank: 2, initialization: "none" }), { lora: { rank: 12 } }, 1e-4],
];
for (const [name, method, options, tolerance] of SUMS) {
  Deno.test(`saveAdapter() to GGUF holds ${name}`, () =>
    withModel(() => tinyLlama(backend, 1), (model, folder) =>
      withMade(model, method, async (adapter) => {
        const expected = await logitsOf(graft(model, adapter), TINY);
        await saveAdapter(`${folder}/a.gguf`, adapter, model, options);
        assertClose(
          await tunedLogits(model, await loadAdapter(`${folder}/a.gguf`, model)),
          expected,
          tolerance,
          name,
        );
      })));
}

Deno.test("saveAdapter() to GGUF refuses what llama.cpp would not apply, and says what to do", () =>
  withModel(() => tinyGpt2(backend, 2), async (model, folder) => {
    const refusals: readonly (readonly [Method, RegExp])[] = [
      [
        dora({ rank: 2 }),
        /^TypeError: Cannot write "dora" as LoRA without loss: .*\{ rank: 8 \} or \{ error/,
      ],
      [lora({ rank: 2, targets: ["wte"] }), /^TypeError: .*"lm_head" is tied to "transformer\.wte".*merge/],
      [lora({ rank: 2, targets: ["lm_head"] }), /^TypeError: .*"lm_head" is tied/],
      [lora({ rank: 2, targets: ["wpe"] }), /^TypeError: .*applies none at "transformer\.wpe"; merge/],
      [lora({ rank: 2, bias: "all" }), /^TypeError: Cannot write lora as updates of matrices: .*bias/],
      [pfeiffer({ reduction: 2 }), /^TypeError: .*is a hidden, which no weight holds/],
      [bitfit(), /^TypeError: Cannot write .* as updates of matrices/],
      [{ ...lora({ rank: 2 }), name: "pissa", definition: pissaDefinition }, /^TypeError: .*onOriginal/],
    ];
    for (const [method, message] of refusals) {
      await withMade(model, method, async (adapter) => {
        await assert.rejects(saveAdapter(`${folder}/a.gguf`, adapter, model), message);
        assert.deepEqual([...Deno.readDirSync(folder)], []);
      });
    }
    await withMade(model, lora({ rank: 2 }), async (adapter) => {
      const wrong = { format: "onnx" } as unknown as SaveAdapterOptions;
      await assert.rejects(
        saveAdapter(folder, adapter, model, wrong),
        /known are "peft", "adapters", "gguf" and "graft"/,
      );
    });
  }));

Deno.test("saveAdapter() with a limit writes another method as LoRA into a PEFT folder", () =>
  withModel(
    () => tinyLlama(backend, 1),
    (model, folder) =>
      withMade(model, dora({ rank: 2, initialization: "none" }), async (adapter) => {
        const expected = await logitsOf(graft(model, adapter), TINY);
        await saveAdapter(folder, adapter, model, { lora: { error: 0 } });
        const loaded = await loadAdapter(folder, model);
        assert.equal(loaded.method.name, "lora");
        assertClose(await tunedLogits(model, loaded), expected, 1e-5, "logits");
      }),
  ));

Deno.test("loadAdapter() of a GGUF file refuses models, other kinds, other models' files and damage", () =>
  withCase("random", async (model, folder) => {
    const path = `${GOLDEN}gguf_adapter/random.gguf`;
    await assert.rejects(
      loadAdapter(`${GOLDEN}formats/llama.gguf`, model),
      /^TypeError: .*expected general\.type "adapter" but found/,
    );
    await assert.rejects(
      loadAdapter(`${GOLDEN}gguf_adapter/gaussian.gguf`, model),
      /^TypeError: .*for architecture qwen2, but the model is llama/,
    );
    await assert.rejects(
      loadAdapter(`${GOLDEN}gguf_adapter/all_linear.gguf`, model),
      /^RangeError: .*"blk\.0\..*lora_a" of "model\.layers\.0\..*": expected \[2, 28\] but found \[2, 20\]/,
    );
    await assert.rejects(loadAdapter(path, model, { name: "b" }), /holds one, without a name/);
    const file = openGguf(path);
    const changed = async (
      fields: readonly (readonly [string, unknown])[],
      rename: (name: string) => string | undefined,
    ): Promise<string> => {
      const to = `${folder}/changed.gguf`;
      const tensors = [...file.tensors.values()].flatMap((t) => {
        const name = rename(t.name);
        return name === undefined ? [] : [{ ...t, name }];
      });
      await writeGguf(to, new Map([...file.fields, ...fields]) as typeof file.fields, tensors);
      return to;
    };
    const same = (name: string): string => name;
    const damages: readonly (readonly [Parameters<typeof changed>, RegExp])[] = [
      [
        [[["adapter.type", { type: "string", value: "control_vector" }]], same],
        /TypeError: .*"lora" but found control/,
      ],
      [
        [[["adapter.alora.invocation_tokens", { type: "array", of: "u32", value: [1] }]], same],
        /TypeError: .*activated LoRA/,
      ],
      [
        [[["adapter.lora.alpha", { type: "string", value: "8" }]], same],
        /RangeError: .*alpha to be a number/,
      ],
      [
        [[], (n) => n === "blk.1.attn_v.weight.lora_b" ? undefined : n],
        /RangeError: .*attn_v\.weight\.lora_b" is missing/,
      ],
      [[[], (n) => n.replace("attn_v", "attn_x")], /RangeError: .*no matrix "blk\.0\.attn_x\.weight"/],
      [
        [[], (n) => n.replace("blk.1", "blk.7")],
        /RangeError: .*no layer "model\.layers\.7\.self_attn\.q_proj"/,
      ],
      [[[], (n) => n.replace("attn_v.weight.lora_a", "attn_norm.weight")], /RangeError: .*is no factor/],
    ];
    for (const [how, message] of damages) {
      await assert.rejects(loadAdapter(await changed(...how), model), message);
    }
    file.close();
  }));

Deno.test("loadAdapter() of a GGUF file without alpha scales by 1, as llama.cpp does", () =>
  withCase("random", async (model, folder) => {
    const file = openGguf(`${GOLDEN}gguf_adapter/random.gguf`);
    const fields = new Map([...file.fields].filter(([key]) => key !== "adapter.lora.alpha"));
    await writeGguf(`${folder}/bare.gguf`, fields, file.tensors.values());
    file.close();
    const adapter = await loadAdapter(`${folder}/bare.gguf`, model);
    assert.deepEqual([adapter.method.config["alpha"], adapter.method.config["rank"]], [3, 3]);
    assert.equal(leaves(adapter.params).length, 8);
    for (const [, t] of leaves(adapter.params)) t.storage.free();
  }));

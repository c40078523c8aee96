/** Graft's own folders: for every method, saving then loading is the identity; what does not fit is refused. */
import assert from "node:assert/strict";
import {
  type Adapter,
  at,
  bytesOf,
  compose,
  dispose,
  fold,
  forward,
  gated,
  graft,
  key,
  leaves,
  mapTree,
  type Method,
  type Model,
  perRow,
  read,
  scaled,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import { inspectPath } from "../../io/inspect.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { refusedByPeft, saveAdapter } from "../../io/save_adapter.ts";
import {
  adapterFusion,
  averaged,
  bySpans,
  diffPruning,
  diffPruningFixed,
  far,
  fishMask,
  houlsby,
  ipt,
  iptAutoencoder,
  layerNormTune,
  loftq,
  lora,
  ltSft,
  mam,
  only,
  parallel,
  pfeiffer,
  prefixTuning,
  promptTuning,
  pTuningV2,
  routed,
  sentenceGate,
  unipelt,
  xlora,
} from "../../methods/mod.ts";
import { add, normal } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { GOLDEN } from "../support/golden.ts";
import { CREATED, created, namedMethod } from "../support/method_options.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";

const BATCH = { inputIds: [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]] };

const folder = (): { readonly path: string } & Disposable => {
  const path = Deno.makeTempDirSync();
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
};

/** An adapter that has moved from its start. */
function moved(method: Method, model: Model): Adapter {
  const params = scope((): Synchronous<Tree> =>
    mapTree(
      method.init({ model, key: 3 }),
      (leaf, path) =>
        leaf.dtype === "f32" ? add(leaf, normal(fold(key(9), path), leaf.shape, leaf.backend, 0.1)) : leaf,
    ) as Synchronous<Tree>
  );
  return { name: "default", method, params };
}

async function logitsOf(model: Model, adapter: Adapter, batch = BATCH): Promise<Float32Array> {
  const t = scope((): Synchronous<import("../../core/mod.ts").Tensor> =>
    forward(graft(model, adapter), batch).logits
  );
  const numbers = await read(t);
  t.storage.free();
  return numbers as Float32Array;
}

const free = (params: Tree): void =>
  mapTree(params, (leaf) => (leaf.storage.free(), leaf)) as unknown as void;

async function assertSame(model: Model, adapter: Adapter): Promise<void> {
  using place = folder();
  await saveAdapter(place.path, adapter, model, { format: "graft" });
  const again = await loadAdapter(place.path, model);
  const flat = async (params: Tree) =>
    await Promise.all(leaves(params).map(async ([path, t]) => [path, t.shape, await bytesOf(t)]));
  const by = (a: readonly unknown[], b: readonly unknown[]): number => String(a[0]) < String(b[0]) ? -1 : 1;
  assert.deepEqual((await flat(again.params)).sort(by), (await flat(adapter.params)).sort(by));
  assert.equal(again.method.name, adapter.method.name);
  assert.deepEqual(await logitsOf(model, again), await logitsOf(model, adapter));
  const description = await inspectPath(place.path);
  assert.equal(description.kind === "adapter" && description.format, "graft");
  free(again.params);
}

Deno.test("saveAdapter() in graft's own form holds intrinsic prompts, mixtures and adapters by rows", async () => {
  await assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const prompt = promptTuning({ length: 2 }) as Method;
    const [one, two] = [moved(prompt, model), moved(prompt, model)];
    const coder = moved(
      iptAutoencoder({ prompts: { one, two }, task: "two", intrinsic: 3, hidden: 5 }) as Method,
      model,
    );
    await assertSame(model, coder);
    const intrinsic = moved(ipt({ autoencoder: coder }) as Method, model);
    await assertSame(model, intrinsic);
    const expert = lora({ rank: 2, initialization: "none" });
    const experts = { math: moved(expert, model), code: moved(expert, model) };
    const [mixed, trained] = (["router", "all"] as const).map((trains) =>
      moved(xlora({ experts, trains }), model)
    );
    await assertSame(model, mixed!);
    await assertSame(model, trained!);

    const rows = perRow({ intrinsic, mixed: mixed! });
    using place = folder();
    await saveAdapter(place.path, rows, model, { format: "graft" });
    const again = await loadAdapter(place.path, model);
    const batch = { ...BATCH, rows: ["mixed", "intrinsic"] };
    assert.deepEqual(await logitsOf(model, again, batch), await logitsOf(model, rows, batch));
    dispose([again.params, rows.params, trained!.params, coder.params, one.params, two.params]);
    dispose([experts.math.params, experts.code.params]);
    model.dispose();
  });
});

Deno.test("saveAdapter() in graft's own form then loadAdapter() is the identity for every method", async () => {
  await assertNoLeak(async () => {
    const backend = reference();
    const model = tinyLlama(backend, 1);
    const t5 = await loadModel(`${GOLDEN}encoders/t5`, { backend });
    const gpt2 = tinyGpt2(backend, 1);
    for (const definition of CREATED) {
      const { name } = definition;
      if (name === "loftq") continue; // its base is part of it, see below
      const own = name === "cross-attention" ? t5 : name.startsWith("fused") ? gpt2 : model;
      const method = created(definition, own.spec);
      const adapter = moved(method, own);
      try {
        if (own === model) await assertSame(model, adapter);
        else {
          using place = folder();
          await saveAdapter(place.path, adapter, own, { format: "graft" });
          const again = await loadAdapter(place.path, own);
          assert.deepEqual(
            leaves(again.params).map(([path]) => path),
            leaves(adapter.params).map(([path]) => path),
          );
          free(again.params);
        }
      } catch (cause) {
        throw new Error(`${name}: ${cause instanceof Error ? cause.message : cause}`, { cause });
      } finally {
        free(adapter.params);
      }
    }
    model.dispose();
    for (const own of [t5, gpt2]) own.dispose();
  });
});

Deno.test("compositions, gates and masks come back from graft's own form", async () => {
  await assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const indices = Int32Array.of(3, 7, 20);
    const q = "model.layers.0.self_attn.q_proj.weight";
    const mask = { leaves: [{ path: q, shape: [16, 12], indices }], whole: [] };
    const sources = ["a", "b"].map((name) => [name, moved(pfeiffer({ reduction: 3 }), model)] as const);
    const methods: readonly Method[] = [
      fishMask({ mask }),
      ltSft({ mask, pull: 0.1, maskable: 500 }),
      diffPruningFixed({ mask: { ...mask, whole: ["lm_head.weight"] } }),
      far({ learners: { "model.layers.0.mlp.up_proj": Int32Array.of(0, 7) } }),
      only({ parameters: /.*Q_PROJ\.weight/i }),
      layerNormTune({ norms: /MODEL\.norm/i }),
      diffPruning({ structure: "none" }),
      diffPruning({ penalty: "product" }),
      compose({ mask: fishMask({ mask }), inner: compose({ lora: lora({ rank: 2 }) }) }) as unknown as Method,
      unipelt({ prefix: { length: 2, network: { hidden: 3 } }, lora: { rank: 2 } }),
      mam({ prefix: { length: 2, network: "none" } }) as unknown as Method,
      pTuningV2({ length: 2 }) as unknown as Method,
      gated(houlsby({ reduction: 4 }), sentenceGate()) as unknown as Method,
      scaled(prefixTuning({ length: 2, network: "none" }), 0.5),
      adapterFusion({ adapters: Object.fromEntries(sources) }),
      averaged({ a: houlsby({ reduction: 4 }), b: lora({ rank: 2 }) }, {
        weights: [0.3, 0.7],
      }) as unknown as Method,
      routed({ a: houlsby({ reduction: 4 }), b: lora({ rank: 2 }), c: lora({ rank: 1 }) }, {
        topK: 1,
        chosen: "softmax",
        temperature: 0.5,
      }) as unknown as Method,
      parallel({ a: houlsby({ reduction: 4 }), b: pfeiffer({ reduction: 3 }) }) as unknown as Method,
      bySpans({ a: houlsby({ reduction: 4 }), b: pfeiffer({ reduction: 3 }) }, [2, 3]) as unknown as Method,
    ];
    for (const method of methods) {
      const adapter = moved(method, model);
      await assertSame(model, adapter);
      free(adapter.params);
    }
    for (const [, { params }] of sources) free(params);
    model.dispose();
  });
});

Deno.test("graft's own form is strict", async () => {
  await assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const other = tinyLlama(reference(), 1, { width: 16 });
    const adapter = moved(houlsby({ reduction: 3 }), model);
    using place = folder();
    await saveAdapter(place.path, adapter, model, { format: "graft" });
    await assert.rejects(
      loadAdapter(place.path, other),
      /down\.weight": expected \[5, 16\] but found \[4, 12\]/,
    );

    const path = `${place.path}/adapter_config.json`;
    const config = JSON.parse(Deno.readTextFileSync(path));
    const refused = async (graft: unknown, complaint: RegExp): Promise<void> => {
      Deno.writeTextFileSync(path, JSON.stringify({ ...config, graft }));
      await assert.rejects(loadAdapter(place.path, model), complaint);
    };
    await refused({ ...config.graft, version: 3 }, /it is of version 3, and this program reads 1 and 2/);
    await refused({ ...config.graft, method: "telepathy" }, /method "telepathy" is not known$/);
    await refused(
      { ...config.graft, method: "housby" },
      /method "housby" is not known: did you mean "houlsby"\?$/,
    );
    await refused({ ...config.graft, method: "pfeiffer" }, /pfeiffer has no option "after"/);
    await refused(
      { ...config.graft, config: { after: ["feedForward"] } },
      /self_attn\.down\.weight" is not expected/,
    );
    const parts = { a: { method: "houlsby", config: {} } };
    await refused({ version: 1, method: "averaged", parts, config: { weights: "1" } }, /weights/);
    await refused({ version: 1, method: "routed", parts, config: { topK: "1" } }, /topK/);
    await refused({ version: 1, method: "parallel", parts, config: { topK: 1 } }, /topK/);
    await refused({ version: 1, method: "bySpans", parts, config: { length: [5] } }, /length/);
    await refused({ version: 1, method: "bySpans", parts, config: {} }, /lengths/);
    await refused("houlsby", /"graft" must be an object with a "method"/);
    assert.match(Deno.readTextFileSync(`${place.path}/README.md`), /\| Method \| houlsby \|/);

    const narrowed = moved(at((place) => place.layer === 0, houlsby({ reduction: 3 })), model);
    using empty = folder();
    await assert.rejects(
      saveAdapter(empty.path, narrowed, model, { format: "graft" }),
      /Cannot save the options of at\(houlsby\), places: a file has no place for a function/,
    );
    const chosen = moved(lora({ targets: (place) => place.path.endsWith("q_proj") }), model);
    await assert.rejects(
      saveAdapter(empty.path, chosen, model, { format: "graft" }),
      /the options of lora, targets: a file has no place for a function/,
    );
    assert.deepEqual([...Deno.readDirSync(empty.path)], []);
    assert.match(refusedByPeft(adapter, model)!, /Cannot save "houlsby" as a PEFT folder/);
    const plain = moved(lora({ rank: 2 }), model);
    assert.equal(refusedByPeft(plain, model), undefined);
    for (const { params } of [adapter, narrowed, chosen, plain]) free(params);
    model.dispose();
    other.dispose();
  });
});

Deno.test("LoftQ's folder holds the adapter alone, and loading codes the base again", async () => {
  await assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const options = { rank: 2, iterations: 2, dtype: "nf4", targets: ["q_proj", "v_proj"] } as const;
    const prepared = await loftq(model, options);
    const adapter = moved({ ...prepared.adapter.method, init: () => prepared.adapter.params }, model);
    using place = folder();
    const method = { ...adapter.method, ...namedMethod("loftq", options) };
    await saveAdapter(place.path, { ...adapter, method }, model, { format: "graft" });
    const again = await loadAdapter(place.path, model);
    assert.deepEqual(await logitsOf(model, again), await logitsOf(prepared.model, adapter));
    // What was loaded holds the quantized base as well, which is written as little as at first.
    const written = () =>
      ["adapter_config.json", "adapter_model.safetensors"].map((name) =>
        Deno.readFileSync(`${place.path}/${name}`)
      );
    const first = written();
    await saveAdapter(place.path, again, model, { format: "graft" });
    assert.deepEqual(written(), first);
    free(again.params);
    free(adapter.params);
    prepared.dispose();
    model.dispose();
  });
});

Deno.test("a mask saved for a model of other shapes or other names is refused by leaf and shapes", () =>
  assertNoLeak(async () => {
    const folder = Deno.makeTempDirSync();
    const model = tinyLlama(reference(), 1);
    const [path, others] = [
      "model.layers.1.mlp.up_proj.weight",
      [
        [
          tinyLlama(reference(), 1, { inner: 14 }),
          /up_proj\.weight: expected \[10, 12\] but found \[14, 12\]$/,
        ],
        [
          tinyLlama(reference(), 1, { layers: 1 }),
          /it has no weight "model\.layers\.1\.mlp\.up_proj\.weight"$/,
        ],
        [tinyGpt2(reference(), 1), /it has no weight "model\.layers\.1\.mlp\.up_proj\.weight"$/],
      ] as const,
    ];
    const mask = { leaves: [{ path, shape: [10, 12], indices: Int32Array.of(1, 119) }], whole: [] };
    for (const factory of [fishMask, ltSft, diffPruningFixed]) {
      const method = factory({ mask });
      const adapter: Adapter = { method, params: method.init({ model, key: 0 }) };
      await saveAdapter(folder, adapter, model, { format: "graft" });
      for (const [other, message] of others) await assert.rejects(loadAdapter(folder, other), message);
      dispose(adapter.params);
    }
    for (const [other] of others) other.dispose();
    model.dispose();
    Deno.removeSync(folder, { recursive: true });
  }));

Deno.test("FAR's folder holds how many outputs a layer has, and fits no wider or narrower one", () =>
  assertNoLeak(async () => {
    const folder = Deno.makeTempDirSync();
    const model = tinyLlama(reference(), 1);
    const [wider, narrower] = [14, 8].map((inner) => tinyLlama(reference(), 1, { inner })) as [Model, Model];
    const learners = { "model.layers.0.mlp.up_proj": Int32Array.of(0, 7) };
    for (const method of [far({ learners }), compose({ one: far({ learners }), two: lora({ rank: 2 }) })]) {
      const adapter = moved(method, model);
      await saveAdapter(folder, adapter, model, { format: "graft" });
      await assertSame(model, adapter);
      for (const [other, has] of [[wider, 14], [narrower, 8]] as const) {
        await assert.rejects(
          loadAdapter(folder, other),
          new RegExp(
            `"model\\.layers\\.0\\.mlp\\.up_proj" had 10 outputs where they were found and has ${has} here`,
          ),
        );
      }
      // A folder from before says nothing of outputs: it loads as it did.
      const path = `${folder}/adapter_config.json`;
      const text = Deno.readTextFileSync(path);
      const { graft, ...rest } = JSON.parse(text);
      const older = JSON.stringify({ ...rest, graft }).replace(/,"outputs":\{[^}]*\}/, "");
      assert.notEqual(older, JSON.stringify({ ...rest, graft }));
      Deno.writeTextFileSync(path, older);
      const again = await loadAdapter(folder, model);
      assert.deepEqual(await logitsOf(model, again), await logitsOf(model, adapter));
      free(again.params);
      free(adapter.params);
    }
    for (const each of [model, wider, narrower]) each.dispose();
    Deno.removeSync(folder, { recursive: true });
  }));

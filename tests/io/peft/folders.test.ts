/**
 * Folders that HF PEFT wrote (tests/oracles/peft_folders.py): loaded, they compute what PEFT computes; saved again, they
 * hold what PEFT's folder holds. Tolerances: 1e-5 of the largest logit and 1e-4 of the largest gradient, for f32 sums.
 */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  type Batch,
  compose,
  forward,
  graft,
  keep,
  key,
  leaves,
  lossAndGrad,
  merge,
  type Method,
  type Model,
  read,
  scope,
  type Synchronous,
  Tensor,
  type Tree,
} from "../../../core/mod.ts";
import { openSafetensors } from "../../../formats/safetensors.ts";
import { writeSafetensors } from "../../../formats/safetensors_write.ts";
import { modelOfAdapter } from "../../../io/layer_replication.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { glora, lora, modulesToSave, osf, poly, trainableTokens } from "../../../methods/mod.ts";
import { freshModel, smallConfig } from "../../../models/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { inFolder } from "../../support/folder.ts";
import { caseFolders, GOLDEN, PEFT_FOLDERS } from "../../support/golden.ts";
import { noised } from "../../support/subject.ts";

const BATCH = JSON.parse(Deno.readTextFileSync(`${GOLDEN}peft_folders/batch.json`));
const CASES = caseFolders(PEFT_FOLDERS);
const folderOf = (name: string): string => GOLDEN + CASES.get(name)!;
/** A shared table cannot be merged with the head's copy of it in one weight. */
const UNMERGEABLE = new Set(["lily", "lily_pattern", "poly_tasks"]); // what they mix depends on the text, or on the row

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

interface Stored {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly numbers: Float32Array;
}

function tensorsOf(path: string): ReadonlyMap<string, Stored> {
  const file = openSafetensors(path);
  try {
    return new Map([...file.tensors.values()].map((t) => {
      const bytes = t.read();
      const numbers = t.dtype === "bf16"
        ? new Float32Array(new Uint32Array(new Uint16Array(bytes.buffer)).map((n) => n << 16).buffer)
        : new Float32Array(bytes.buffer);
      return [t.name, { shape: t.shape, dtype: t.dtype, numbers }];
    }));
  } finally {
    file.close();
  }
}

// deno-lint-ignore no-explicit-any
const json = (path: string): any => JSON.parse(Deno.readTextFileSync(path));

function free(adapter: Adapter): void {
  for (const [, t] of leaves(adapter.params)) t.storage.free();
}

/** Fields in which two folders for the same adapter may differ in form only. */
function finalized(config: Record<string, unknown>): Record<string, unknown> {
  const list = (value: unknown): unknown => Array.isArray(value) ? [...value].sort() : value;
  const { base_model_name_or_path: _, layers_pattern: __, ...rest } = config;
  const layers = rest["layers_to_transform"];
  return {
    ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, list(value)])),
    ..."layers_to_transform" in rest &&
      { layers_to_transform: typeof layers === "number" ? [layers] : layers },
  };
}

/** Where our folder says the same in other words, and why. */
function reworded(name: string): readonly string[] {
  switch (name) {
    case "all_linear":
    case "gpt2_all_linear":
      return ["target_modules"]; // short names for PEFT's list of all paths
    case "gpt2_bias_saved":
      return ["target_modules"]; // without the targets inside a saved module
    case "save_norms":
      return ["modules_to_save", "target_modules"]; // and without the targets inside a saved module
    case "ia3_custom":
      return ["modules_to_save"]; // PEFT's "norm" also means input_layernorm: paths instead
    case "patterns_named":
      return ["alpha_pattern"]; // "$" for Python's "\\Z"
    case "only_tokens":
    case "only_tokens_tied":
    case "only_tokens_t5":
      return ["target_modules"]; // the path of the input embedding in either form
    case "norms_excluded":
      return ["target_modules", "exclude_modules"]; // the names of what is left
    case "embedding_ensured":
    case "head_ensured":
      return ["ensure_weight_tying", "target_modules"]; // both by name
    case "boft_one_factor":
      return ["boft_n_butterfly_factor"]; // what there is, not what was asked for
    case "oft_bias":
      return ["module_dropout"]; // PEFT never applies it
    case "patterns_loose":
      return ["target_modules", "exclude_modules", "rank_pattern", "alpha_pattern"]; // what they come to
    case "parameters":
    case "parameters_turned":
      return ["target_modules", "target_parameters", "fan_in_fan_out"]; // layers by name
    case "parameters_beside":
      return ["target_modules", "target_parameters", "rank_pattern", "alpha_pattern", "layers_to_transform"]; // the same
    case "replicated_bert":
      return ["auto_mapping"]; // which class the base was, where there is no task
    case "hira":
      return ["rank_pattern"]; // PEFT does not follow it
    case "hira_gpt2":
      return ["fan_in_fan_out"]; // PEFT finds a Conv1D by itself and leaves its word for it as it was
    case "adalora_pruned":
      return ["rank_pattern"]; // how many triplets are stored, not which of the first ones they were
    default:
      return [];
  }
}

/** Our tensors under the keys of a folder that has a matrix [in, out] adapted as a parameter: there its factors change places. */
function asTheirs(name: string, ours: ReadonlyMap<string, Stored>): ReadonlyMap<string, Stored> {
  if (name !== "parameters_turned") return ours;
  return new Map([...ours].map(([key, { shape, numbers, dtype }]) => {
    const other = key.replace("lora_embedding_", "lora_").replace(
      /\.lora_([AB])(\.weight)?$/,
      (_, factor) => `.lora_${factor === "A" ? "B" : "A"}.weight`,
    );
    const [n, m] = shape as [number, number];
    const turned = numbers.map((_, i) => numbers[(i % n) * m + Math.floor(i / n)]!);
    return [other, { shape: [m, n], dtype, numbers: turned }];
  }));
}

async function withCase(
  name: string,
  run: (model: Model, adapter: Adapter, expected: ReadonlyMap<string, Stored>) => Promise<void>,
): Promise<void> {
  await assertNoLeak(async () => {
    const base = await loadModel(GOLDEN + json(`${folderOf(name)}/case.json`).base, { backend: reference() });
    const model = await modelOfAdapter(folderOf(name), base);
    const adapter = await loadAdapter(folderOf(name), model);
    await run(model, adapter, tensorsOf(`${folderOf(name)}/expected.safetensors`));
    free(adapter);
    base.dispose();
  });
}

/** The batch, each row with its task where a case has several. */
const batchOf = (name: string): Batch => ({
  ...BATCH,
  ...name === "poly_tasks" && { rows: ["2", "0", "1"].slice(0, BATCH.inputIds.length) },
});

async function logitsOf(model: Model, batch: Batch = BATCH): Promise<Float32Array> {
  const { logits } = forward(model, batch);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

for (const name of CASES.keys()) {
  Deno.test(`loadAdapter() gives the logits, loss and gradients of PEFT: ${name}`, async () => {
    await withCase(name, async (model, adapter, expected) => {
      const logits = expected.get("logits")!.numbers;
      assertClose(await logitsOf(graft(model, adapter), batchOf(name)), logits, 1e-5, "logits");
      if (!UNMERGEABLE.has(name)) {
        const merged = merge(model, adapter);
        assertClose(await logitsOf(merged), logits, 1e-5, "merged logits");
        merged.dispose();
      }
      const { loss, grads } = await lossAndGrad(model, adapter, batchOf(name));
      assertClose([loss], expected.get("loss")!.numbers, 1e-5, "loss");
      await inFolder(async (folder) => {
        // Gradients go through the key map of the parameters.
        await saveAdapter(folder, { ...adapter, params: grads }, model);
        const saved = asTheirs(name, tensorsOf(`${folder}/adapter_model.safetensors`));
        const wanted = [...expected].filter(([key]) => key.startsWith("grad."));
        for (const [key, { numbers, shape }] of wanted) {
          const found = saved.get(key.slice("grad.".length));
          assert.ok(found, `no gradient ${key}`);
          assert.deepEqual(found.shape, shape, key);
          assertClose(found.numbers, numbers, 1e-4, key);
        }
        assert.equal(leaves(grads).length, wanted.length);
      });
      for (const [, t] of leaves(grads)) t.storage.free();
    });
  });

  Deno.test(`saveAdapter() writes the folder that PEFT wrote: ${name}`, async () => {
    await withCase(name, async (model, adapter) => {
      await inFolder(async (folder) => {
        await saveAdapter(folder, adapter, model);
        const theirs = tensorsOf(`${folderOf(name)}/adapter_model.safetensors`);
        const ours = asTheirs(name, tensorsOf(`${folder}/adapter_model.safetensors`));
        // PEFT writes the tables of targets by two names, which the embedding has not where the head alone is named, and none of
        // parameters.
        const extra = (key: string): boolean =>
          ["head_ensured", "parameters_beside"].includes(name) && key.endsWith(".base_layer.weight");
        assert.deepEqual([...ours.keys()].filter((key) => !extra(key)).sort(), [...theirs.keys()].sort());
        // Loading pulls COFT's parameters back, as PEFT's next forward pass would.
        const pulled = name === "oft_unprojected";
        for (const [key, tensor] of theirs) {
          if (pulled) assert.notDeepEqual(ours.get(key), tensor, key);
          else assert.deepEqual(ours.get(key), tensor, key);
        }
        const [a, b] = [`${folder}/`, `${folderOf(name)}/`].map((path) => json(`${path}adapter_config.json`));
        const [ourConfig, theirConfig] = [finalized(a), finalized(b)];
        for (const field of reworded(name)) delete ourConfig[field], delete theirConfig[field];
        assert.deepEqual(ourConfig, theirConfig);
        // What was reworded still means the same.
        const again = await loadAdapter(folder, model);
        assert.deepEqual(
          leaves(again.params).map(([path]) => path),
          leaves(adapter.params).map(([path]) => path),
        );
        assert.deepEqual(
          await logitsOf(graft(model, again), batchOf(name)),
          await logitsOf(graft(model, adapter), batchOf(name)),
        );
        free(again);
      });
    });
  });
}

Deno.test("loadAdapter() takes the root or a named adapter of a folder, also in bfloat16", async () => {
  await assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
    const expected = tensorsOf(`${GOLDEN}peft_folders/several/expected.safetensors`);
    for (const name of ["default", "other"]) {
      const adapter = await loadAdapter(`${GOLDEN}peft_folders/several`, model, { name });
      assert.equal(adapter.name, name);
      assert.ok(leaves(adapter.params).every(([, t]) => t instanceof Tensor && t.dtype === "f32"));
      assertClose(await logitsOf(graft(model, adapter)), expected.get(name)!.numbers, 1e-5, name);
      free(adapter);
    }
    await assert.rejects(
      loadAdapter(`${GOLDEN}peft_folders/several`, model, { name: "third" }),
      /holds default, other/,
    );
    model.dispose();
  });
});

Deno.test("loadAdapter() refuses factors of a tied pair that differ, of which PEFT's reload would lose one", () =>
  assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });
    await inFolder(async (folder) => {
      const from = `${GOLDEN}peft_folders/embedding_ensured`;
      Deno.copyFileSync(`${from}/adapter_config.json`, `${folder}/adapter_config.json`);
      const file = openSafetensors(`${from}/adapter_model.safetensors`);
      const tensors = [...file.tensors.values()].map((t) => {
        const bytes = Uint8Array.from(t.read());
        if (t.name.endsWith("lm_head.lora_B.weight")) bytes[2]! ^= 64;
        return { ...t, read: () => bytes };
      });
      file.close();
      await writeSafetensors(`${folder}/adapter_model.safetensors`, tensors);
      await assert.rejects(loadAdapter(folder, model), /"lm_head\.lora_B\.weight" is not the transpose of/);
    });
    model.dispose();
  }));

Deno.test("PEFT folders hold nothing on the table that T5's stacks read under other names, where PEFT's adapter would do nothing", () =>
  assertNoLeak(async () => {
    const base = await loadModel(`${GOLDEN}encoders/t5`, { backend: reference() });
    const methods = [
      [lora({ targets: ["shared", "q"] }), /no LORA on "shared" of t5: .* it would do nothing there/],
      [
        compose({ a: lora(), b: modulesToSave({ modules: ["shared"] }) }),
        /no "shared" as a saved module of t5/,
      ],
    ] as const;
    await inFolder(async (folder) => {
      for (const [method, reason] of methods) {
        const adapter = adapt(base, method as Method) as Adapter;
        await assert.rejects(saveAdapter(`${folder}/a`, adapter, base), reason);
        assert.ok(!exists(`${folder}/a/adapter_config.json`));
        free(adapter);
      }
      Deno.copyFileSync(
        `${GOLDEN}peft_folders/only_tokens_t5/adapter_model.safetensors`,
        `${folder}/adapter_model.safetensors`,
      );
      for (
        const [fields, reason] of [
          [{ peft_type: "LORA", target_modules: ["shared"] }, /no LORA on "shared"/],
          [
            { peft_type: "HRA", target_modules: ["q"], modules_to_save: ["shared"] },
            /no "shared" as a saved module/,
          ],
        ] as const
      ) {
        Deno.writeTextFileSync(`${folder}/adapter_config.json`, JSON.stringify(fields));
        await assert.rejects(loadAdapter(folder, base), reason);
      }
    });
    base.dispose();
    // A head of its own leaves PEFT no reason to look for the table's other names.
    const untied = freshModel({ ...smallConfig("t5"), tie_word_embeddings: false }, {
      backend: reference(),
      key: 0,
    });
    const rows = adapt(untied, trainableTokens({ tokens: [1] })) as Adapter;
    await inFolder((folder) =>
      assert.rejects(
        saveAdapter(folder, rows, untied),
        /no trained rows of "shared" beside a head of its own of t5/,
      )
    );
    free(rows);
    untied.dispose();
  }));

Deno.test("Poly's and GLoRA's folders name layers where PEFT has no field for numbers, and are refused where it has no form", () =>
  assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}peft_folders/bases/qwen2`, { backend: reference() });
    const made = async (method: Method, run: (folder: string, adapter: Adapter) => Promise<void>) => {
      const params = keep(method.init({ model, key: 1 }));
      await inFolder((folder) => run(folder, { method, params: params.tree }));
      params.dispose();
    };
    const shapes = (adapter: Adapter) => leaves(adapter.params).map(([path, t]) => [path, t.shape]).sort();
    for (const method of [poly({ rank: 2, layers: [1] }), glora({ rank: 2, layers: [1] })]) {
      await made(method, async (folder, adapter) => {
        await saveAdapter(folder, adapter, model);
        const { target_modules } = json(`${folder}/adapter_config.json`);
        assert.deepEqual(target_modules, ["1.self_attn.q_proj", "1.self_attn.v_proj"]);
        const again = await loadAdapter(folder, model);
        assert.deepEqual(shapes(again), shapes(adapter));
        free(again);
      });
    }
    const refused = (method: Method, message: RegExp) =>
      made(method, (folder, adapter) => assert.rejects(saveAdapter(folder, adapter, model), message));
    await refused(
      glora({ b: "none" }),
      /one form for a and b and one for d and e: here they are lowRank and none/,
    );
    await refused(poly({ tasks: ["a", "b"], task: "b" }), /Cannot save the task "b" of 2 for PEFT/);
    await made(glora({ c: "none" }), async (folder, adapter) => {
      await saveAdapter(folder, adapter, model);
      const file = `${folder}/adapter_model.safetensors`;
      const tensors = [...tensorsOf(file)].map(([name, { shape, numbers }]) => {
        const bytes = new Uint8Array(
          numbers.map((x) => name.endsWith("1.self_attn.q_proj.glora_C.zeros") ? 1 : x).buffer,
        );
        return { name, dtype: "f32" as const, shape, byteLength: bytes.length, read: () => bytes };
      });
      await writeSafetensors(file, tensors);
      await assert.rejects(
        loadAdapter(folder, model),
        /zeros in ".*1\.self_attn\.q_proj\.glora_C\.zeros" but found other/,
      );
    });
    model.dispose();
  }));

Deno.test("OSF's folders find where its vectors started in the base, beside saved modules too", () =>
  assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}peft_folders/bases/llama_untied`, { backend: reference() });
    const method = compose({
      a: osf({ preserved: 2, layers: [1] }),
      b: modulesToSave({ modules: ["lm_head"] }),
    });
    const fresh = keep(method.init({ model, key: 1 }));
    const params = keep(scope((): Synchronous<Tree> => noised(fresh.tree, key(2)) as Synchronous<Tree>));
    const adapter: Adapter = { method: method as unknown as Method, params: params.tree };
    await inFolder(async (folder) => {
      await saveAdapter(folder, adapter, model);
      const again = await loadAdapter(folder, model);
      assertClose(await logitsOf(graft(model, again)), await logitsOf(graft(model, adapter)), 1e-5);
      free(again);
      const config = json(`${folder}/adapter_config.json`);
      const pattern = { ...config, rank_pattern: { q_proj: 3 } };
      Deno.writeTextFileSync(`${folder}/adapter_config.json`, JSON.stringify(pattern));
      await assert.rejects(loadAdapter(folder, model), /"rank_pattern" .* asks for ranks by pattern/);
    });
    params.dispose();
    fresh.dispose();
    model.dispose();
  }));

Deno.test("loadAdapter() reads SHiRA's positions as whole numbers of either kind, and refuses what is none of the matrix's", () =>
  assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}peft_folders/bases/qwen2`, { backend: reference() });
    const from = `${GOLDEN}peft_updates/shira`;
    const attempt = (
      positions: (given: Int32Array) => Float32Array | Int32Array,
      check: (loading: Promise<Adapter>) => Promise<void>,
    ): Promise<void> =>
      inFolder(async (folder) => {
        Deno.copyFileSync(`${from}/adapter_config.json`, `${folder}/adapter_config.json`);
        const file = openSafetensors(`${from}/adapter_model.safetensors`);
        const tensors = [...file.tensors.values()].map((t) => {
          if (!t.name.includes("layers.1.self_attn.q_proj.shira_indices")) {
            return {
              ...t,
              read: () => t.read(),
            };
          }
          const numbers = positions(new Int32Array(Uint8Array.from(t.read()).buffer));
          const dtype = numbers instanceof Int32Array ? "i32" as const : "f32" as const;
          return { ...t, dtype, read: () => new Uint8Array(numbers.buffer as ArrayBuffer) };
        });
        await writeSafetensors(`${folder}/adapter_model.safetensors`, tensors);
        file.close();
        await check(loadAdapter(folder, model));
      });
    const changed = (index: number, value: number) => (given: Int32Array): Float32Array => {
      const numbers = Float32Array.from(given);
      numbers[index] = value;
      return numbers;
    };
    await attempt((given) => Float32Array.from(given), async (loading) => {
      const fromWindows = await loading;
      const { numbers } = tensorsOf(`${from}/expected.safetensors`).get("logits")!;
      assertClose(await logitsOf(graft(model, fromWindows)), numbers, 1e-5);
      free(fromWindows);
    });
    const message = (row: number, found: string): RegExp =>
      new RegExp(`whole numbers from 0 to below 12 in row ${row} of ".*shira_indices" but found ${found}$`);
    const refused = (row: number, found: string) => (loading: Promise<Adapter>): Promise<void> =>
      assert.rejects(loading, message(row, found));
    await attempt(changed(0, 12), refused(0, "12"));
    await attempt((given) => Int32Array.from(changed(47, -1)(given)), refused(0, "-1"));
    await attempt(changed(50, 1.5), refused(1, "1.5"));
    model.dispose();
  }));

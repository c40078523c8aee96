/**
 * Counts in files that no model or adapter has. Every integer of every golden config becomes 2147483648, a billion and, where it
 * is a count, its bound and the number above: loading, and a pass where it loads, ends within seconds and in little memory, and a
 * count above its bound is refused by file, name and bound.
 */
import assert from "node:assert/strict";
import {
  adapt,
  checkCounts,
  type CountedFields,
  dispose,
  forward,
  graft,
  type Model,
  MODEL_COUNTS,
  MOST,
  read,
} from "../../core/mod.ts";
import { ADAPTERS_COUNTS, GGUF_COUNTS, peftCounts } from "../../formats/counted_fields.ts";
import {
  bytesSource,
  ggufTokenizer,
  openGguf,
  openSafetensors,
  plainGgufValue,
  tokenizer,
  vocabularyFields,
  writeGguf,
  writeSafetensors,
} from "../../formats/mod.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { modelOfAdapter } from "../../io/layer_replication.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { reference } from "../../ops/reference/mod.ts";
import { GOLDEN, PEFT_FOLDERS, PEFT_PROMPT_FOLDERS } from "../support/golden.ts";
import {
  cheaply,
  copyFolder,
  filesNamed,
  integersIn,
  type Path,
  withValue,
} from "../support/hostile_counts.ts";
import { CREATED, created, namedMethod } from "../support/method_options.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";
import { baseOf, hubModel } from "./adapterhub/cases.ts";
import { inFolder } from "../support/folder.ts";

const HUGE = [2_147_483_648, 1e9];
const backend = reference();

const jsonAt = (path: string): unknown => JSON.parse(Deno.readTextFileSync(path));

/** The bound of a place in a config, where it counts something. */
function boundAt(path: Path, counts: CountedFields): number | undefined {
  const names = path.filter((name) => typeof name === "string");
  for (const [i, name] of [...names.entries()].reverse()) {
    const both = `${names[i - 1]}.${name}`;
    const counted = counts[both] ?? (Object.hasOwn(counts, name) ? counts[name] : undefined);
    if (counted !== undefined) return MOST[counted];
  }
  return undefined;
}

/**
 * Tries each integer of a folder's files once for each kind of config.
 *
 * @param seen What was tried already.
 */
async function tryFolder(
  from: string,
  files: readonly string[],
  seen: Set<string>,
  kindOf: (json: unknown) => readonly [kind: string, counts: CountedFields],
  use: (folder: string) => Promise<void>,
): Promise<void> {
  await inFolder(async (parent) => {
    const folder = `${parent}/f`;
    copyFolder(from, folder);
    for (const file of filesNamed(folder, files)) {
      const text = Deno.readTextFileSync(`${folder}/${file}`);
      const json: unknown = JSON.parse(text);
      const [kind, counts] = kindOf(json);
      for (const path of integersIn(json)) {
        const key = `${file.split("/").at(-1)} ${kind} ${
          path.filter((p) => typeof p === "string").join(".")
        }`;
        if (seen.has(key)) continue;
        seen.add(key);
        const bound = boundAt(path, counts);
        for (const value of bound === undefined ? HUGE : [...HUGE, bound + 1, bound]) {
          Deno.writeTextFileSync(`${folder}/${file}`, JSON.stringify(withValue(json, path, value)));
          const what = `${from}/${file}: ${path.join(".")} = ${value}`;
          const error = await cheaply(what, () => use(folder));
          if (bound === undefined || value <= bound) continue;
          if (error === undefined && /\/head_config\.json$/.test(file)) { // of a part whose head is not read
            seen.delete(key);
            continue;
          }
          assert.ok(error instanceof RangeError, `${what}: ${error}`);
          assert.ok(error.message.includes(`"${path.join(".")}"`), `${what}: ${error.message}`);
          assert.match(error.message, new RegExp(`${file}.* at most ${bound} but found ${value}`), what);
        }
      }
      Deno.writeTextFileSync(`${folder}/${file}`, text);
    }
  });
}

const folders = (...kinds: readonly string[]): readonly string[] =>
  kinds.flatMap((kind) =>
    [...Deno.readDirSync(GOLDEN + kind)].filter((entry) => entry.isDirectory).map(({ name }) =>
      `${GOLDEN}${kind}/${name}`
    ).sort()
  );

/** A pass over a few tokens; that the model cannot take them is no matter here. */
async function pass(model: Model): Promise<void> {
  const inputIds = [[1, 5, 9, 3]];
  const decoderInputIds = model.spec.stacks.length > 1 ? { decoderInputIds: [[0, 3]] } : {};
  const { logits } = forward(model, { inputIds, ...decoderInputIds });
  await read(logits);
  logits.storage.free();
}

async function loadOnto(folder: string, base: Model): Promise<void> {
  const model = await modelOfAdapter(folder, base);
  const adapter = await loadAdapter(folder, model);
  try {
    await pass(graft(model, adapter));
  } finally {
    dispose(adapter.params);
    if (model !== base) model.dispose();
  }
}

/** Bases by their folder, each loaded once. */
function bases(): (path: string) => Promise<Model> {
  const loaded = new Map<string, Model>();
  return async (path) => {
    const model = loaded.get(path) ?? await loadModel(path, { backend });
    loaded.set(path, model);
    return model;
  };
}

Deno.test("no count in a PEFT folder takes all memory or all time", async () => {
  const seen = new Set<string>();
  const base = bases();
  for (
    const folder of folders(...PEFT_FOLDERS, ...PEFT_PROMPT_FOLDERS, "peft_changed_base", "weighted_adapters")
  ) {
    const files = [...filesNamed(folder, ["adapter_config.json"])];
    if (files[0] !== "adapter_config.json") continue;
    const config = jsonAt(`${folder}/adapter_config.json`) as Record<string, unknown>;
    const named = `${GOLDEN}${String(config["base_model_name_or_path"]).replace(/^.*golden\//, "")}`;
    const there = await Deno.stat(`${named}/config.json`).then(() => true, () => false);
    const model = await base(there ? named : `${GOLDEN}llama_lora/base`);
    await tryFolder(
      folder,
      ["adapter_config.json"],
      seen,
      (json) => {
        const type = String((json as Record<string, unknown>)["peft_type"]);
        return [type, peftCounts(type)];
      },
      (folder) => loadOnto(folder, model),
    );
  }
  assert.ok(seen.size > 150, `${seen.size}`);
  assert.ok(seen.has("adapter_config.json OFT num_cayley_neumann_terms"));
});

Deno.test("no count in an AdapterHub folder takes all memory or all time", async () => {
  const seen = new Set<string>();
  const base = bases();
  const files = [
    "adapter_config.json",
    "adapter_setup.json",
    "adapter_fusion_config.json",
    "head_config.json",
  ];
  for (const folder of folders("adapter_hub_folders")) {
    const model = await base(hubModel(baseOf(folder.split("/").at(-1)!)));
    const kindOf = (json: unknown) => {
      const { config, adapter_setup } = json as Record<string, Record<string, unknown>>;
      const kind = `${config?.["architecture"] ?? config?.["head_type"] ?? adapter_setup?.["type"]}`;
      return [kind, ADAPTERS_COUNTS] as const;
    };
    await tryFolder(folder, files, seen, kindOf, (folder) => loadOnto(folder, model));
  }
  assert.ok(seen.size > 60, `${seen.size}`);
  assert.ok([...seen].some((key) => key.startsWith("head_config.json") && key.endsWith("num_labels")));
});

Deno.test("no count in a folder of our own takes all memory or all time", async () => {
  const [llama, gpt2] = [tinyLlama(backend, 1), tinyGpt2(backend, 1)];
  const t5 = await loadModel(`${GOLDEN}encoders/t5`, { backend });
  const seen = new Set<string>();
  for (const definition of CREATED) {
    const { name } = definition;
    const model = name === "cross-attention" ? t5 : name.startsWith("fused") ? gpt2 : llama;
    const adapter = adapt(model, created(definition, model.spec), 0);
    await inFolder(async (parent) => {
      await saveAdapter(`${parent}/a`, adapter, model, { format: "graft" });
      await tryFolder(
        `${parent}/a`,
        ["adapter_config.json"],
        seen,
        () => [name, {}],
        (folder) => loadOnto(folder, model),
      );
    });
    dispose(adapter.params);
  }
  assert.ok(seen.size > 80, `${seen.size}`);
  for (const model of [llama, gpt2, t5]) model.dispose();
});

Deno.test("counts of our own records are refused by file, option and bound, in parts as well", async () => {
  const model = tinyLlama(backend, 1);
  const adapter = adapt(model, namedMethod("lora", { rank: 2 }), 0);
  await inFolder(async (parent) => {
    const folder = `${parent}/a`;
    await saveAdapter(folder, adapter, model, { format: "graft" });
    const path = `${folder}/adapter_config.json`;
    const config = jsonAt(path) as Record<string, unknown>;
    const lora = (rank: number) => ({ method: "lora", config: { rank } });
    const phm = (dimension: number) => ({ method: "compacter", config: { dimension } });
    const bottleneck = { phm: { dimension: 257, rank: 1, rule: "shared" } };
    const cases: readonly (readonly [record: unknown, name: string, most: number, found: number])[] = [
      [lora(65_537), "rank", 65_536, 65_537],
      [{ method: "uniLora", config: { rank: 4097 } }, "rank", 4096, 4097],
      [phm(257), "dimension", 256, 257],
      [{ method: "bottleneckAdapter", config: bottleneck }, "phm.dimension", 256, 257],
      [{ method: "oft", config: { cayley: { terms: 257 } } }, "cayley.terms", 256, 257],
      [{ method: "psoft", config: { rotation: { terms: 1e9 } } }, "rotation.terms", 256, 1e9],
      [{ method: "loftq", config: { iterations: 1e9 } }, "iterations", 256, 1e9],
      [{ method: "compose", parts: { a: lora(2), b: lora(1e9) } }, "rank", 65_536, 1e9],
      [{ method: "scaled", of: lora(1e9), factor: 1 }, "rank", 65_536, 1e9],
      [{ method: "xlora", adapters: { a: lora(1e9) }, config: {} }, "rank", 65_536, 1e9],
      [{ method: "xlora", adapters: { a: lora(2) }, config: { depth: 65 } }, "depth", 64, 65],
      [
        { method: "pTuning", config: { encoder: { kind: "lstm", layers: 65 } } },
        "encoder.layers",
        64,
        65,
      ],
    ];
    for (const [record, name, most, found] of cases) {
      Deno.writeTextFileSync(
        path,
        JSON.stringify({ ...config, graft: { version: 1, ...record as Record<string, unknown> } }),
      );
      const error = await cheaply(name, () => loadOnto(folder, model));
      assert.ok(error instanceof RangeError, `${error}`);
      assert.ok(error.message.startsWith(`Cannot read ${path}: Expected `), error.message);
      assert.ok(error.message.includes(`"${name.split(".").at(-1)}"`), error.message);
      assert.match(error.message, new RegExp(`at most ${most}\\b.* but found .*${found}`));
    }
  });
  dispose(adapter.params);
  model.dispose();
});

Deno.test("layer_replication gives at most as many layers as a model has", async () => {
  const model = tinyLlama(backend, 1);
  const adapter = adapt(model, namedMethod("lora", { rank: 2 }), 0);
  await inFolder(async (parent) => {
    const folder = `${parent}/a`;
    await saveAdapter(folder, adapter, model);
    const path = `${folder}/adapter_config.json`;
    const config = jsonAt(path) as Record<string, unknown>;
    for (
      const ranges of [
        [[0, 2_147_483_648]],
        [[0, 1e9]],
        [[0, 4097]],
        Array.from({ length: 3000 }, () => [0, 2]),
      ]
    ) {
      Deno.writeTextFileSync(path, JSON.stringify({ ...config, layer_replication: ranges }));
      for (const load of [() => loadOnto(folder, model), async () => void await loadAdapter(folder, model)]) {
        const error = await cheaply("layer_replication", load);
        assert.ok(error instanceof RangeError, `${error}`);
        assert.match(error.message, /"layer_replication[.\d]*" in .*adapter_config\.json .* at most 4096/);
      }
    }
  });
  dispose(adapter.params);
  model.dispose();
});

Deno.test("no count in a model's config takes all memory or all time", async () => {
  const seen = new Set<string>();
  for (
    const folder of folders("models", "encoders", "bitsandbytes_gpt2", "bitsandbytes_halves", "formats")
  ) {
    if (!await Deno.stat(`${folder}/config.json`).then(() => true, () => false)) continue;
    await tryFolder(
      folder,
      ["config.json"],
      seen,
      (json) => [String((json as Record<string, unknown>)["model_type"]), MODEL_COUNTS],
      async (folder) => {
        const model = await loadModel(folder, { backend });
        try {
          await pass(model);
        } finally {
          model.dispose();
        }
      },
    );
  }
  assert.ok(seen.size > 150, `${seen.size}`);
});

Deno.test("no number in a GGUF file's metadata takes all memory or all time", async () => {
  for (const name of ["llama", "gpt2", "gemma3", "qwen2", "qwen3"]) {
    const file = openGguf(`${GOLDEN}formats/${name}.gguf`);
    const architecture = `${file.metadata.get("general.architecture")}.`;
    await inFolder(async (folder) => {
      const path = `${folder}/m.gguf`;
      for (const [key, field] of file.fields) {
        if (field.type !== "u32" && field.type !== "i32" && field.type !== "u64") continue;
        const counted = GGUF_COUNTS[key.replace(architecture, "")];
        const bound = counted === undefined ? undefined : MOST[counted];
        for (const value of [2_147_483_648, 1e9, ...bound === undefined ? [] : [bound + 1]]) {
          await writeGguf(
            path,
            new Map([...file.fields, [key, { type: "u32", value }]]),
            key === "general.alignment" ? [] : file.tensors.values(),
          ).catch(() => {}); // an alignment that cannot be
          const what = `${name}.gguf: ${key} = ${value}`;
          const error = await cheaply(what, async () => {
            const model = await loadModel(path, { backend });
            try {
              await pass(model);
            } finally {
              model.dispose();
            }
          });
          if (bound === undefined || value <= bound) continue;
          assert.ok(error instanceof RangeError, `${what}: ${error}`);
          assert.match(error.message, new RegExp(`"${key}" in .*m\\.gguf to be at most ${bound}`), what);
        }
      }
    });
    file.close();
  }
});

Deno.test("no id in a tokenizer's files takes all memory or all time", async () => {
  for (const name of ["gpt2", "llama2", "llama3", "bert_cased", "t5", "qwen2"]) {
    const { tokenizer: json, config, specialTokens } = jsonAt(
      `${GOLDEN}tokenizer_goldens/${name}.json`,
    ) as Record<
      string,
      Record<string, unknown>
    >;
    const seen = new Set<string>();
    for (const [part, value] of Object.entries({ tokenizer: json, config })) {
      for (const path of integersIn(value)) {
        const key = `${part} ${path.slice(0, 2).join(".")}`;
        if (path.length > 2 && path[1] === "vocab" && path[2] !== "a") continue;
        if (seen.has(key)) continue;
        seen.add(key);
        for (const huge of [...HUGE, 4_194_304]) {
          const files = { tokenizer: json, config, specialTokens, [part]: withValue(value, path, huge) };
          const error = await cheaply(`${name} ${part} ${path.join(".")} = ${huge}`, () => {
            const made = tokenizer(files);
            made.decode(made.encode("The dog, a cat"));
            if (name === "gpt2") {
              const fields = vocabularyFields({ tokenizer: files.tokenizer as Record<string, unknown> });
              ggufTokenizer(new Map([...fields].map(([key, value]) => [key, plainGgufValue(value)])));
            }
            return Promise.resolve();
          });
          if (path.at(-1) !== "id" || path[0] !== "added_tokens") continue;
          assert.match(`${error}`, /added_tokens\[\d+\]\.id to be a token id below 4194304/);
        }
      }
    }
  }
  const gpt2 = jsonAt(`${GOLDEN}tokenizer_goldens/gpt2.json`) as Record<string, Record<string, unknown>>;
  for (const id of ["2147483648", "1000000000", "4194304"]) {
    const config = { ...gpt2["config"], added_tokens_decoder: { [id]: { content: "<new>", special: true } } };
    assert.throws(
      () => tokenizer({ ...gpt2, tokenizer: gpt2["tokenizer"], config }),
      /below 4194304 but found/,
    );
  }
});

Deno.test("a quantization state's numbers take no memory that the file does not have", async () => {
  for (const name of ["nf4", "fp4_as_f32", "nf4_as_bf16"]) {
    const file = openSafetensors(`${GOLDEN}bitsandbytes_halves/${name}/model.safetensors`);
    const states = [...file.raw.values()].filter((t) => t.name.includes("quant_state"));
    const state: unknown = JSON.parse(new TextDecoder().decode(states[0]!.read()));
    await inFolder(async (folder) => {
      Deno.copyFileSync(`${GOLDEN}bitsandbytes_halves/${name}/config.json`, `${folder}/config.json`);
      for (const path of integersIn(state)) {
        for (const value of HUGE) {
          const bytes = new TextEncoder().encode(JSON.stringify(withValue(state, path, value)));
          await writeSafetensors(
            `${folder}/model.safetensors`,
            [...file.raw.values()].map((t) =>
              t.name === states[0]!.name
                ? { ...t, shape: [bytes.length], byteLength: bytes.length, read: () => bytes }
                : t
            ) as never,
          );
          const error = await cheaply(`${name} ${path.join(".")}`, async () => {
            (await loadModel(folder, { backend })).dispose();
          });
          assert.ok(error !== undefined);
        }
      }
    });
    file.close();
  }
});

Deno.test("a safetensors header's numbers are those of its bytes", () => {
  for (const shape of [[2_147_483_648, 4], [1e9], [2 ** 53, 2 ** 53], [0, 2_147_483_648]]) {
    const header = new TextEncoder().encode(
      JSON.stringify({ w: { dtype: "F32", shape, data_offsets: [0, 16] } }),
    );
    const bytes = new Uint8Array(8 + header.length + 16);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
    bytes.set(header, 8);
    assert.throws(
      () => openSafetensors(bytesSource("x", bytes)),
      /takes .* bytes but its range|is not a list of sizes/,
    );
  }
});

Deno.test("checkCounts() finds counts wherever they stand and lets other numbers be", () => {
  const counts: CountedFields = { r: "rank", "phm.dimension": "factors" };
  const check = (config: unknown) => () => checkCounts("f.json", config, counts);
  check({ r: 65_536, alpha: 1e12, dimension: 1e12, name: "r", phm: { dimension: 256 } })();
  assert.throws(check({ a: [{ r: 65_537 }] }), /"a\.0\.r" in f\.json to be at most 65536 but found 65537/);
  assert.throws(check({ r: { "q.*": 1e300 } }), /"r\.q\.\*" in f\.json/);
  assert.throws(check({ r: [1, [2, 1e9]] }), /"r\.1\.1" in f\.json/);
  assert.throws(check({ phm: { dimension: 257 } }), /"phm\.dimension" in f\.json to be at most 256/);
});

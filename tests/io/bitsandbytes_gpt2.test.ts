/**
 * GPT-2 in bitsandbytes' types as transformers writes it, its matrices turned before they are quantized
 * (tests/oracles/bitsandbytes_gpt2.py). Tolerance: 1e-5 of the largest logit, for f32 sums.
 */
import assert from "node:assert/strict";
import {
  dequantize,
  forward,
  graft,
  lookup,
  merge,
  type Model,
  quantize,
  read,
  type Tensor,
  weightLeaves,
} from "../../core/mod.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { saveModel } from "../../io/save_model.ts";
import { adapt, diffPruning, fullFineTune, lora, wasm } from "../../mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { inFolder } from "../support/folder.ts";
import { GOLDEN } from "../support/golden.ts";

const ROOT = `${GOLDEN}bitsandbytes_gpt2/`;
const TYPES = ["nf4", "nf4_double", "fp4", "fp4_double", "int8"] as const;
const CASES = [...TYPES, "nf4_some"] as const;
const INPUT_IDS = [[5, 9, 31, 2, 7, 7, 12], [36, 1, 0, 4, 8, 3, 3]];
const backend = reference();

async function logitsOf(model: Model): Promise<Float32Array> {
  const { logits } = forward(model, { inputIds: INPUT_IDS });
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

function expectedOf(name: string): Float32Array {
  const file = openSafetensors(`${ROOT}${name}/expected.safetensors`);
  try {
    return new Float32Array(file.tensors.get("logits")!.read().slice().buffer);
  } finally {
    file.close();
  }
}

interface Raw {
  readonly type: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Every tensor of a safetensors file as its type, shape and bytes. */
function rawOf(folder: string): ReadonlyMap<string, Raw> {
  const file = openSafetensors(`${folder}/model.safetensors`);
  try {
    return new Map(
      [...file.raw.values()].map((
        t,
      ) => [t.name, { type: t.type, shape: t.shape, bytes: Uint8Array.from(t.read()) }]),
    );
  } finally {
    file.close();
  }
}

/** Means and largest numbers of the second level of scales. */
function offsetsOf(tensors: ReadonlyMap<string, Raw>): readonly number[] {
  return [...tensors].sort(([a], [b]) => a < b ? -1 : 1).flatMap(([name, { bytes }]) => {
    if (name.endsWith("nested_absmax")) return [...new Float32Array(bytes.buffer)];
    if (!name.includes("quant_state")) return [];
    return [JSON.parse(new TextDecoder().decode(bytes)).nested_offset ?? 0];
  });
}

const withModel = (path: string, run: (model: Model) => Promise<void>): Promise<void> =>
  assertNoLeak(async () => {
    const model = await loadModel(path, { backend });
    await run(model);
    model.dispose();
  });

for (const name of CASES) {
  Deno.test(`loadModel() of a bitsandbytes GPT-2 gives transformers' logits: ${name}`, () =>
    withModel(ROOT + name, async (model) => {
      assertClose(await logitsOf(model), expectedOf(name), 1e-5, "logits");
      const leaf = lookup(model.weights, "transformer.h.1.attn.c_attn.weight") as Tensor;
      assert.deepEqual([leaf.dtype, leaf.shape], [name === "nf4_some" ? "nf4" : name, [60, 20]]);
    }));

  Deno.test(`saveModel() writes the bytes that it came from: ${name}`, () =>
    withModel(ROOT + name, (model) =>
      inFolder(async (folder) => {
        await saveModel(folder, model);
        assert.deepEqual(rawOf(folder), rawOf(ROOT + name));
        const config = (path: string) =>
          JSON.parse(Deno.readTextFileSync(`${path}/config.json`)).quantization_config;
        const { llm_int8_skip_modules: ours, ...said } = config(folder);
        const { llm_int8_skip_modules: theirs, ...expected } = config(ROOT + name);
        for (const [key, value] of Object.entries(said)) assert.deepEqual(value, expected[key], key);
        // By path where transformers takes ends of paths.
        const paths = ["h.0.attn.c_proj", "h.0.mlp.c_fc", "h.1.mlp.c_fc"].map((path) =>
          `transformer.${path}`
        );
        assert.deepEqual(ours, theirs && ["lm_head", ...paths]);
      })));
}

for (const dtype of TYPES) {
  Deno.test(`quantize() and saveModel() write what transformers writes for the same GPT-2: ${dtype}`, () =>
    withModel(`${ROOT}base`, async (model) => {
      const small = quantize(model, { dtype });
      await inFolder(async (folder) => {
        await saveModel(folder, small);
        const [ours, theirs] = [rawOf(folder), rawOf(ROOT + dtype)];
        for (const [name, tensor] of theirs) {
          if (!dtype.endsWith("double") || !/nested_absmax$|quant_state/.test(name)) {
            assert.deepEqual(ours.get(name), tensor, name);
          }
        }
        assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort());
        // torch sums a mean in an order that depends on its vector width: the offset's last bit may differ, and so may whatever contains it.
        const [our, their] = [offsetsOf(ours), offsetsOf(theirs)];
        assertClose(our, their, 2e-7, "nested offsets");
      });
      assertClose(await logitsOf(small), expectedOf(dtype), 1e-5, "logits");
      const onTheWay = await loadModel(`${ROOT}base`, { backend, quantize: { dtype } });
      assert.deepEqual(await logitsOf(onTheWay), await logitsOf(small));
      onTheWay.dispose();
      const lazily = quantize(model, { dtype, leaves: "lazy" });
      assert.deepEqual(await logitsOf(lazily), await logitsOf(small));
      lazily.dispose();
      small.dispose();
    }));
}

Deno.test("a quantized GPT-2 is written plain, decoded and merged the way round that its checkpoints have", () =>
  withModel(`${ROOT}nf4`, async (model) => {
    const [path, shape] = ["transformer.h.0.attn.c_attn.weight", [20, 60]];
    const plain = dequantize(model);
    assert.deepEqual((lookup(plain.weights, path) as Tensor).shape, shape);
    assertClose(await logitsOf(plain), expectedOf("nf4"), 1e-5, "decoded");
    plain.dispose();
    await inFolder(async (folder) => {
      await saveModel(folder, model, { dtype: "f32" });
      const again = await loadModel(folder, { backend });
      assert.deepEqual((lookup(again.weights, path) as Tensor).shape, shape);
      assertClose(await logitsOf(again), expectedOf("nf4"), 1e-5, "written plain");
      again.dispose();
      await saveModel(`${folder}/m.gguf`, model);
      const gguf = await loadModel(`${folder}/m.gguf`, { backend });
      assertClose(await logitsOf(gguf), expectedOf("nf4"), 1e-5, "as GGUF");
      gguf.dispose();
    });
    const adapter = adapt(model, lora({ rank: 2, targets: "all-linear", initialization: "none" }));
    const adapted = await logitsOf(graft(model, adapter));
    for (const leaves of ["lazy", undefined] as const) {
      const merged = merge(model, adapter, leaves && { leaves });
      assert.deepEqual((lookup(merged.weights, path) as Tensor).shape, shape);
      assertClose(await logitsOf(merged), adapted, 1e-5, "merged");
      const same = merge(model, adapter, { dtype: "same", ...leaves && { leaves } });
      const again = quantize(merged, { dtype: "nf4" });
      assert.deepEqual((lookup(same.weights, path) as Tensor).dtype, "nf4");
      assertClose(await logitsOf(same), await logitsOf(again), 1e-6, "merged into the same type");
      for (const each of [again, same, merged]) each.dispose();
    }
    for (const [, t] of weightLeaves(adapter.params as never)) t.storage.free();
  }));

Deno.test("methods that change a weight itself see a quantized GPT-2's in its checkpoints' form", () =>
  withModel(`${ROOT}nf4_double`, async (model) => {
    const path = "transformer.h.0.attn.c_attn.weight";
    for (const method of [fullFineTune(), diffPruning({ sparsity: 0.5 })]) {
      const adapter = adapt(model, method);
      const leaf = lookup(adapter.params as never, method.name === "diff-pruning" ? `${path}.delta` : path);
      assert.deepEqual((leaf as Tensor).shape, [20, 60], method.name);
      assertClose(await logitsOf(graft(model, adapter)), await logitsOf(model), 1e-5, method.name);
      const merged = merge(model, adapter, { dtype: "f32" });
      assertClose(await logitsOf(merged), await logitsOf(model), 1e-5, `${method.name}, merged`);
      merged.dispose();
      for (const [, t] of weightLeaves(adapter.params as never)) t.storage.free();
    }
  }));

for (const [name, type] of Object.entries({ lora: "nf4_double", boft: "nf4", oft: "fp4", loha: "int8" })) {
  Deno.test(`loadAdapter() gives PEFT's logits on a bitsandbytes GPT-2, whose matrices are Linears there: ${name}`, () =>
    withModel(ROOT + type, async (model) => {
      const adapter = await loadAdapter(`${ROOT}adapters/${name}`, model);
      const expected = expectedOf(`adapters/${name}`);
      assertClose(await logitsOf(graft(model, adapter)), expected, 1e-5, "logits");
      await inFolder(async (folder) => {
        await saveAdapter(folder, adapter, model);
        const [ours, theirs] = [folder, `${ROOT}adapters/${name}`].map((path) => keysOf(path));
        assert.deepEqual(ours, theirs);
        const again = await loadAdapter(folder, model);
        assertClose(await logitsOf(graft(model, again)), expected, 1e-5, "saved");
        for (const [, t] of weightLeaves(again.params as never)) t.storage.free();
      });
      for (const [, t] of weightLeaves(adapter.params as never)) t.storage.free();
    }));
}

/** The tensors of an adapter's folder. */
function keysOf(folder: string): readonly string[] {
  const file = openSafetensors(`${folder}/adapter_model.safetensors`);
  file.close();
  return [...file.tensors.keys()].sort();
}

Deno.test("a bitsandbytes GPT-2 runs in WASM", async () => {
  const own = await wasm({ threads: 1 });
  for (const name of CASES) {
    const model = await loadModel(ROOT + name, { backend: own });
    assertClose(await logitsOf(model), expectedOf(name), 1e-5, name);
    model.dispose();
  }
  own.close();
});

/**
 * Folders of PEFT whose start changed the base (tests/oracles/peft_changed_base.py). On the untouched base they compute what
 * PEFT computes when it loads them, with its decompositions in f64. Tolerance: 1e-5 of the largest logit, for f32 sums.
 */
import assert from "node:assert/strict";
import { type Adapter, forward, graft, leaves, merge, type Model, read } from "../../../core/mod.ts";
import { openSafetensors } from "../../../formats/safetensors.ts";
import { writeSafetensors } from "../../../formats/safetensors_write.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { quantize, wasm } from "../../../mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { inFolder } from "../../support/folder.ts";
import { GOLDEN } from "../../support/golden.ts";

const ROOT = `${GOLDEN}peft_changed_base/`;
const BATCH = JSON.parse(Deno.readTextFileSync(`${GOLDEN}peft_folders/batch.json`));
const CASES = [...Deno.readDirSync(ROOT)].map((entry) => entry.name).sort();

function expectedOf(name: string): Float32Array {
  const file = openSafetensors(`${ROOT}${name}/expected.safetensors`);
  try {
    return new Float32Array(file.tensors.get("logits")!.read().slice().buffer);
  } finally {
    file.close();
  }
}

function free(adapter: Adapter): void {
  for (const [, t] of leaves(adapter.params)) t.storage.free();
}

async function logitsOf(model: Model): Promise<Float32Array> {
  const { logits } = forward(model, BATCH);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

const baseOf = (name: string): string =>
  GOLDEN + JSON.parse(Deno.readTextFileSync(`${ROOT}${name}/case.json`)).base;

async function withCase(name: string, run: (model: Model, adapter: Adapter) => Promise<void>): Promise<void> {
  await assertNoLeak(async () => {
    const model = await loadModel(baseOf(name), { backend: reference() });
    const adapter = await loadAdapter(ROOT + name, model);
    await run(model, adapter);
    free(adapter);
    model.dispose();
  });
}

/** A folder with another config, on the base of the case. */
async function withConfig(
  name: string,
  change: Readonly<Record<string, unknown>>,
  run: (folder: string, model: Model) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const config = JSON.parse(Deno.readTextFileSync(`${ROOT}${name}/adapter_config.json`));
    Deno.writeTextFileSync(`${folder}/adapter_config.json`, JSON.stringify({ ...config, ...change }));
    Deno.copyFileSync(`${ROOT}${name}/adapter_model.safetensors`, `${folder}/adapter_model.safetensors`);
    await assertNoLeak(async () => {
      const model = await loadModel(baseOf(name), { backend: reference() });
      await run(folder, model);
      model.dispose();
    });
  });
}

/** Codes stand below the adapter, which PEFT folders have no place for. */
const CODED = /^loftq|^olora_(nf4|int8|some)$/;

for (const name of CASES) {
  Deno.test(`loadAdapter() of a folder whose start changed the base gives the logits of PEFT's own reload: ${name}`, () =>
    withCase(name, async (model, adapter) => {
      assertClose(await logitsOf(graft(model, adapter)), expectedOf(name), 1e-5, "logits");
      const merged = merge(model, adapter);
      assertClose(await logitsOf(merged), expectedOf(name), 1e-5, "merged logits");
      merged.dispose();
    }));
}

for (const name of CASES.filter((name) => !CODED.test(name))) {
  Deno.test(`saveAdapter() writes it as plain LoRA of the untouched base: ${name}`, () =>
    withCase(name, async (model, adapter) => {
      await inFolder(async (folder) => {
        await saveAdapter(folder, adapter, model);
        const config = JSON.parse(Deno.readTextFileSync(`${folder}/adapter_config.json`));
        assert.equal(config.init_lora_weights, true);
        const again = await loadAdapter(folder, model);
        assertClose(await logitsOf(graft(model, again)), expectedOf(name), 1e-5, "logits");
        free(again);
      });
    }));
}

Deno.test("loadAdapter() doubles the rank of a PiSSA folder, and not where PEFT leaves the base", () =>
  withCase("pissa_embedding", (_, adapter) => {
    const rows = Object.fromEntries(
      leaves(adapter.params).filter(([path]) => path.endsWith(".a")).map(([path, t]) => [path, t.shape[0]]),
    );
    assert.deepEqual(rows, {
      "adapter.model.layers.0.self_attn.o_proj.a": 6,
      "adapter.model.layers.1.self_attn.o_proj.a": 6,
      "adapter.model.embed_tokens.a": 3,
      "adapter.lm_head.a": 3, // its matrix, changed already, is in the folder
    });
    return Promise.resolve();
  }));

Deno.test("loadAdapter() of a LoftQ folder puts the codes below the adapter, which only a merged model holds then", () =>
  withCase("loftq_patterns", async (model, adapter) => {
    const codes = leaves(adapter.params).filter(([, t]) => t.dtype === "nf4").map(([path]) => path);
    assert.ok(codes.includes("base.frozen.model.layers.0.mlp.up_proj.weight"), codes.join());
    await inFolder((folder) =>
      assert.rejects(saveAdapter(folder, adapter, model), /fixed weight .*; merge it and save the model/)
    );
  }));

Deno.test("loadAdapter() of such folders agrees on the WASM backend", async () => {
  const backend = await wasm({ threads: 1 });
  for (const name of ["pissa_gpt2", "olora", "loftq"]) {
    const model = await loadModel(baseOf(name), { backend });
    const adapter = await loadAdapter(ROOT + name, model);
    assertClose(await logitsOf(graft(model, adapter)), expectedOf(name), 1e-5, name);
    free(adapter);
    model.dispose();
  }
  backend.close();
});

Deno.test("loadAdapter() refuses starts that a folder does not hold, and says what to do", async () => {
  const refused: readonly (readonly [Readonly<Record<string, unknown>>, RegExp])[] = [
    [{ init_lora_weights: "pissa_niter_4" }, /"pissa_niter_4": .*randomized SVD.*path_initial_model/],
    [{ init_lora_weights: "corda" }, /"corda": .*activations.*PEFT cannot load the folder either/],
    [{ init_lora_weights: "lora_ga" }, /"lora_ga": .*gradients.*another function/],
    [{ init_lora_weights: "loftq", loftq_config: { loftq_bits: 2 } }, /loftq_bits" .*4 or 8 but found 2/],
    [
      { init_lora_weights: "loftq", loftq_config: { loftq_iter: 0 } },
      /loftq_iter" .*positive integer but found 0/,
    ],
    [{ init_lora_weights: "loftq", loftq_config: [4] }, /"loftq_config" .*a record/],
    [{ init_lora_weights: "spectral" }, /"init_lora_weights" .*one of PEFT's starts but found "spectral"/],
  ];
  for (const [change, reason] of refused) {
    await withConfig("pissa", change, (folder, model) => assert.rejects(loadAdapter(folder, model), reason));
  }
  const loftq = { init_lora_weights: "loftq", loftq_config: { loftq_bits: 4 } };
  await withConfig(
    "pissa_gpt2",
    { init_lora_weights: "olora" },
    (folder, model) =>
      assert.rejects(loadAdapter(folder, model), /c_attn": PEFT takes its factors the wrong way round/),
  );
  await withConfig(
    "pissa_embedding",
    loftq,
    (folder, model) =>
      assert.rejects(loadAdapter(folder, model), /embed_tokens": PEFT takes its factors the wrong way round/),
  );
});

Deno.test("loadAdapter() refuses them on a quantized base, and on a head that is the embedding's", async () => {
  await assertNoLeak(async () => {
    const model = await loadModel(baseOf("pissa"), { backend: reference() });
    const small = quantize(model, { dtype: "nf4" });
    await assert.rejects(
      loadAdapter(`${ROOT}pissa`, small),
      /"pissa" on the quantized weights of "model\.layers\.0.*PEFT cannot either/,
    );
    small.dispose();
    model.dispose();
  });
  // As `save_embedding_layers=False` leaves it.
  await withConfig("pissa_head_tied", {}, async (folder, model) => {
    const path = `${folder}/adapter_model.safetensors`;
    const file = openSafetensors(path);
    const factors = [...file.tensors.values()].filter(({ name }) => !name.includes("base_layer"))
      .map((t) => ({ ...t, bytes: t.read().slice() })).map((t) => ({ ...t, read: () => t.bytes }));
    file.close();
    await writeSafetensors(path, factors);
    await assert.rejects(loadAdapter(folder, model), /"lm_head": its matrix is "model\.embed_tokens"'s/);
  });
});

Deno.test("loadAdapter() takes starts that leave the base alone as plain LoRA", async () => {
  for (const start of ["eva", "mica", "gaussian"]) {
    await withConfig("pissa", { init_lora_weights: start }, async (folder, model) => {
      const adapter = await loadAdapter(folder, model);
      assert.equal(leaves(adapter.params)[0]![1].shape.includes(3), true);
      free(adapter);
    });
  }
});

/**
 * VeRA of AdapterHub folders keeps the folder's own numbers: α with its factor α / r, what the vectors start from, and the vectors,
 * to the bit, from folder to folder, by way of our own form, and in what it computes. The logits are adapters' own in
 * tests/io/adapterhub/folders.test.ts. PEFT has no α: there the factor is in λ_b.
 */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  dispose,
  forward,
  graft,
  lookup,
  type Model,
  read,
  type Tensor,
} from "../../../core/mod.ts";
import { openSafetensors } from "../../../formats/safetensors.ts";
import { writeSafetensors } from "../../../formats/safetensors_write.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { vera } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { inFolder } from "../../support/folder.ts";
import { GOLDEN } from "../../support/golden.ts";
import { hubBatch, hubModel } from "./cases.ts";

const FOLDER = `${GOLDEN}adapter_hub_folders/bert_text_vera_diagonal`;
const QUERY = "bert.encoder.layer.0.attention.self.query";

const configOf = (folder: string) => JSON.parse(Deno.readTextFileSync(`${folder}/adapter_config.json`));

function tensorsOf(
  path: string,
): ReadonlyMap<string, { readonly shape: readonly number[]; readonly bytes: Uint8Array }> {
  const file = openSafetensors(path);
  try {
    return new Map(
      [...file.tensors.values()].map(({ name, shape, read }) => [name, { shape, bytes: read() }]),
    );
  } finally {
    file.close();
  }
}

/** The golden folder with other fields, and with vectors that no factor of theirs would survive to the bit. */
async function changed(to: string, fields: Readonly<Record<string, number>>): Promise<void> {
  const config = configOf(FOLDER);
  Deno.mkdirSync(to);
  Deno.writeTextFileSync(
    `${to}/adapter_config.json`,
    JSON.stringify({ ...config, config: { ...config.config, ...fields } }),
  );
  const tensors = [...tensorsOf(`${FOLDER}/adapter.safetensors`)];
  await writeSafetensors(
    `${to}/adapter.safetensors`,
    tensors.map(([name, { shape, bytes }]) => {
      const numbers = new Float32Array(bytes.slice().buffer);
      const moved = numbers.map((x, i) =>
        x === 0 || !name.includes("vera_") ? x : Math.fround(x * (1 + i / 977))
      );
      return {
        name,
        dtype: "f32" as const,
        shape,
        byteLength: bytes.length,
        read: () => new Uint8Array(moved.buffer),
      };
    }),
  );
}

async function logitsOf(model: Model, adapter: Adapter): Promise<readonly number[]> {
  const { logits } = forward(graft(model, adapter), hubBatch("bert_text"));
  const numbers = [...await read(logits)];
  logits.storage.free();
  return numbers;
}

for (
  const fields of [
    {},
    { alpha: 7, vera_d: 0.3, vera_b: 0.7 },
    { alpha: 3, vera_d: 0.1, vera_b: 0 },
    { alpha: 1, vera_d: 1, vera_b: -0.2 },
  ]
) {
  Deno.test(`VeRA of an AdapterHub folder keeps its numbers: ${JSON.stringify(fields)}`, () =>
    assertNoLeak(async () => {
      const model = await loadModel(hubModel("bert_text"), { backend: reference() });
      await inFolder(async (root) => {
        const at = (name: string): string => `${root}/${name}`;
        await changed(at("theirs"), fields);
        const { config } = configOf(at("theirs"));
        const adapter = await loadAdapter(at("theirs"), model);
        const { name, ...rest } = adapter;
        await saveAdapter(at("again"), adapter, model, { format: "adapters" });
        await saveAdapter(at("graft"), rest, model, { format: "graft" });
        const own = await loadAdapter(at("graft"), model);
        await saveAdapter(at("back"), { ...own, name: name! }, model, { format: "adapters" });
        for (const folder of ["again", "back"].map(at)) {
          assert.deepEqual(configOf(folder).config, config);
          assert.deepEqual(
            tensorsOf(`${folder}/adapter.safetensors`),
            tensorsOf(`${at("theirs")}/adapter.safetensors`),
          );
        }
        // λ is the diagonal of the file's matrix, as it stands there.
        const stored = tensorsOf(`${at("theirs")}/adapter.safetensors`).get(`${QUERY}.loras.${name}.vera_B`)!;
        const matrix = new Float32Array(stored.bytes.slice().buffer);
        const n = stored.shape[0]!;
        const diagonal = Array.from({ length: n }, (_, i) => matrix[i * (n + 1)]!);
        const λ = await read(lookup(adapter.params, `${QUERY}.lambdaB`) as Tensor);
        assert.deepEqual([...λ], diagonal);

        await saveAdapter(at("peft"), rest, model, { format: "peft" });
        const factor = config.alpha / config.r;
        const λb = tensorsOf(`${at("peft")}/adapter_model.safetensors`)
          .get(`base_model.model.${QUERY}.vera_lambda_b`)!;
        assertClose(
          [...new Float32Array(λb.bytes.slice().buffer)],
          diagonal.map((x) => x * factor),
          1e-6,
          "PEFT's λ_b",
        );
        const peft = await loadAdapter(at("peft"), model);
        assertClose(
          await logitsOf(model, peft),
          await logitsOf(model, adapter),
          1e-6,
          "logits of PEFT's folder",
        );
        dispose([adapter.params, own.params, peft.params]);
      });
      model.dispose();
    }));
}

Deno.test("vera() has α / r as a factor, and starts λ_b where it is told", () =>
  assertNoLeak(async () => {
    const model = await loadModel(hubModel("bert_text"), { backend: reference() });
    const options = { rank: 4, targets: ["query"] };
    const half = adapt(model, vera({ ...options, alpha: 2, initialB: 0.5 }), 1);
    const whole = adapt(model, vera({ ...options, initialB: 0.25 }), 1);
    const plain = adapt(model, vera(options), 1);
    assert.notDeepEqual(await logitsOf(model, whole), await logitsOf(model, plain));
    assertClose(await logitsOf(model, half), await logitsOf(model, whole), 1e-6, "2 / 4 of 0.5 is 0.25");
    dispose([half.params, whole.params, plain.params]);
    model.dispose();
  }));

/** Logits of every decoder variant equal transformers' (tests/oracles/models.py), padded or not, on each backend. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Backend, type Batch, forward, type Model, read } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN, goldenNumbers } from "../support/golden.ts";

const CASES = [
  "gpt2",
  "gpt2_bare",
  "gpt2_untied",
  "gpt2_f16",
  "llama",
  "llama_bf16",
  "llama3_rope",
  "llama_linear_rope",
  "llama_dynamic_rope",
  "llama_yarn_rope",
  "llama_yarn_exact",
  "llama_untied",
  "llama_head_dim",
  "mistral_window",
  "qwen2",
  "qwen2_window",
  "qwen3",
  "qwen3_window",
  "smollm3",
  "smollm3_plain",
  "gemma",
  "gemma3",
  "gemma3_linear_rope",
] as const;

const BATCH: Required<Pick<Batch, "inputIds" | "attentionMask" | "positionIds">> = JSON.parse(
  Deno.readTextFileSync(`${GOLDEN}models/batch.json`),
);

/** Logits [b][t][v] as numbers. */
async function logitsOf(model: Model, batch: Batch): Promise<readonly (readonly Float32Array[])[]> {
  const { logits } = forward(model, batch);
  const [b, t, v] = logits.shape as [number, number, number];
  const flat = await read(logits);
  logits.storage.free();
  return Array.from(
    { length: b },
    (_, i) => Array.from({ length: t }, (_, j) => flat.slice((i * t + j) * v, (i * t + j + 1) * v)),
  );
}

const flatten = (rows: readonly Float32Array[]): Float32Array =>
  Float32Array.from(rows.flatMap((row) => [...row]));

/** The vectors of the tokens that are no padding. */
function real<T>(rows: readonly (readonly T[])[], mask: readonly (readonly number[])[]): readonly T[] {
  return rows.flatMap((row, b) => row.filter((_, t) => mask[b]![t] === 1));
}

async function withModel(
  backend: Backend,
  name: string,
  f: (model: Model) => Promise<void>,
): Promise<void> {
  await assertNoLeak(async () => {
    const model = await loadModel(`${GOLDEN}models/${name}`, { backend });
    try {
      await f(model);
    } finally {
      model.dispose();
    }
  });
}

for (const backendName of ALL_BACKENDS) {
  for (const name of CASES) {
    Deno.test(`forward() equals transformers on ${name} (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        withModel(backend, name, async (model) => {
          const numbers = goldenNumbers(`models/${name}/expected.safetensors`).get("logits")!;
          const [b, t] = [BATCH.inputIds.length, BATCH.inputIds[0]!.length];
          const v = numbers.length / (b * t);
          const expected = BATCH.inputIds.map((row, i) =>
            row.map((_, j) => numbers.subarray((i * t + j) * v, (i * t + j + 1) * v))
          );
          const found = await logitsOf(model, BATCH);
          // 1e-5: f32 sums in another order; the largest logit is the measure.
          assertClose(
            flatten(real(found, BATCH.attentionMask)),
            flatten(real(expected, BATCH.attentionMask)),
            1e-5,
          );
          // Rows padded on the right need no positions.
          const first = {
            inputIds: BATCH.inputIds.slice(0, 2),
            attentionMask: BATCH.attentionMask.slice(0, 2),
          };
          assertClose(
            flatten(real(await logitsOf(model, first), first.attentionMask)),
            flatten(real(expected.slice(0, 2), first.attentionMask)),
            1e-5,
          );
        })));
  }

  for (const name of ["gpt2", "llama", "mistral_window", "qwen2", "qwen3", "gemma", "gemma3"]) {
    Deno.test(`forward() does not let padding or companions change a row of ${name} (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        withModel(backend, name, async (model) => {
          const row = fc.array(fc.nat(40), { minLength: 1, maxLength: 9 });
          await fc.assert(
            fc.asyncProperty(
              row,
              row,
              fc.nat(4),
              fc.nat(4),
              fc.nat(40),
              async (text, other, left, right, pad) => {
                const alone = (await logitsOf(model, { inputIds: [text] }))[0]!;
                const width = Math.max(left + text.length + right, other.length);
                const place = <T>(values: readonly T[], at: number, otherwise: T): readonly T[] => [
                  ...Array<T>(at).fill(otherwise),
                  ...values,
                  ...Array<T>(width - at - values.length).fill(otherwise),
                ];
                const ones = (values: readonly number[]) => values.map(() => 1);
                const count = (values: readonly number[]) => values.map((_, i) => i);
                const padded = await logitsOf(model, {
                  inputIds: [place(other, 0, pad), place(text, left, pad)],
                  attentionMask: [place(ones(other), 0, 0), place(ones(text), left, 0)],
                  positionIds: [place(count(other), 0, 0), place(count(text), left, 0)],
                });
                assertClose(flatten(padded[1]!.slice(left, left + text.length)), flatten(alone), 1e-5);
              },
            ),
            { numRuns: 12 },
          );
        })));
  }
}

Deno.test("loadModel() names what GPT-2's config asks for and it cannot do", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const config = JSON.parse(await Deno.readTextFile(`${GOLDEN}models/gpt2/config.json`));
    await Deno.copyFile(`${GOLDEN}models/gpt2/model.safetensors`, `${folder}/model.safetensors`);
    const load = async (change: Readonly<Record<string, unknown>>, message: RegExp): Promise<void> => {
      await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify({ ...config, ...change }));
      await withBackend("reference", (backend) =>
        assertNoLeak(async () => {
          await assert.rejects(loadModel(folder, { backend }), message);
        }));
    };
    await load({ activation_function: "mish" }, /activation_function "mish"/);
    await load({ scale_attn_by_inverse_layer_idx: true }, /scale_attn_by_inverse_layer_idx/);
    await load({ n_layer: 3 }, /no tensor "transformer\.h\.2/);
    await load({ n_layer: 1 }, /h\.1\..* that no place of gpt2 takes/);
    await load({ n_inner: 40 }, /mlp\.c_fc\.weight: expected \[20, 40\] but found \[20, 80\]/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

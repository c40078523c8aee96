/** What a config may say, and what hostile or unknown settings get: one error that names the field, at once. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { ModelConfig } from "../../core/mod.ts";
import { withRopeScaling } from "../../formats/rope_config.ts";
import { architectureOf } from "../../models/mod.ts";
import { GOLDEN } from "../support/golden.ts";

const configAt = (name: string): ModelConfig =>
  JSON.parse(Deno.readTextFileSync(`${GOLDEN}${name}/config.json`));

const CONFIGS = {
  llama: configAt("models/llama"),
  gpt2: configAt("models/gpt2"),
  bert: configAt("encoders/bert_bare"),
  t5: configAt("encoders/t5"),
};

/** Fields that are counts of rows, heads, features or blocks. */
const COUNTS = {
  llama: [
    ...["hidden_size", "num_attention_heads", "num_key_value_heads", "num_hidden_layers", "head_dim"],
    ...["intermediate_size", "vocab_size", "max_position_embeddings"],
  ],
  gpt2: ["n_embd", "n_head", "n_layer", "vocab_size", "n_positions", "n_inner"],
  bert: [
    ...["hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size", "vocab_size"],
    ...["max_position_embeddings", "type_vocab_size"],
  ],
  t5: ["d_model", "num_heads", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "vocab_size"],
} as const;

Deno.test("architectureOf() refuses counts that no model has, without building anything", () => {
  const one = fc.constantFrom(...Object.keys(CONFIGS) as (keyof typeof CONFIGS)[]).chain((family) =>
    fc.record({ family: fc.constant(family), field: fc.constantFrom<string>(...COUNTS[family]) })
  );
  const bad = fc.oneof(
    fc.constantFrom<unknown>(0, -1, 1.5, NaN, "12", [3], {}, true, 2 ** 31, 2 ** 53, 1e300, Infinity),
    fc.double({ max: 0.999, noNaN: true }),
  );
  fc.assert(fc.property(one, bad, ({ family, field }, value) => {
    assert.throws(
      () => architectureOf({ ...CONFIGS[family], [field]: value }),
      (error: Error) =>
        (error instanceof RangeError || error instanceof TypeError) && error.message.includes(`"${field}"`),
    );
  }));
});

Deno.test("architectureOf() refuses more blocks than fit, and heads that do not divide their width", () => {
  for (
    const [family, field] of [["llama", "num_hidden_layers"], ["gpt2", "n_layer"], [
      "t5",
      "num_layers",
    ]] as const
  ) {
    assert.throws(() => architectureOf({ ...CONFIGS[family], [field]: 1_000_000_000 }), new RegExp(field));
  }
  const { head_dim: _, ...llama } = CONFIGS.llama;
  const odd = { ...llama, model_type: "llama", hidden_size: 50, num_attention_heads: 4 };
  assert.throws(() => architectureOf(odd), /"hidden_size" in the config of llama to be a multiple/);
  assert.throws(() => architectureOf({ ...CONFIGS.llama, num_key_value_heads: 3 }), /"num_key_value_heads"/);
  assert.throws(() => architectureOf({ ...CONFIGS.llama, head_dim: 5 }), /heads of 5 features/);
  assert.throws(() => architectureOf({ ...CONFIGS.gpt2, n_head: 7 }), /"n_embd" in the config of gpt2/);
});

Deno.test("architectureOf() refuses settings of a Llama that would give other numbers", () => {
  assert.throws(() => architectureOf({ ...CONFIGS.llama, hidden_act: "gelu" }), /hidden_act "gelu"/);
  assert.throws(
    () => architectureOf({ ...CONFIGS.llama, partial_rotary_factor: 0.5 }),
    /partial_rotary_factor/,
  );
  const long = { rope_type: "longrope", factor: 4 };
  assert.throws(
    () => architectureOf({ ...CONFIGS.llama, rope_scaling: long }),
    /rope_scaling type "longrope"/,
  );
});

Deno.test("withRopeScaling() gives the older names of what transformers 5 writes", () => {
  const older = { model_type: "llama", rope_theta: 50, rope_scaling: { rope_type: "linear", factor: 2 } };
  const newer = { model_type: "llama", rope_parameters: { rope_type: "linear", factor: 2, rope_theta: 50 } };
  assert.deepEqual(withRopeScaling(newer), older);
  assert.deepEqual(withRopeScaling(older), older);
  assert.deepEqual(
    withRopeScaling({ rope_parameters: { rope_type: "default", rope_theta: 50 } }),
    { rope_theta: 50, rope_scaling: null },
  );
  assert.throws(
    () => withRopeScaling({ rope_parameters: { full_attention: { rope_theta: 1 } } }),
    /expected one object of numbers/,
  );
});

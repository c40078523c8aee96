/**
 * Prefix tuning in PEFT folders: one table `prompt_embeddings` [n, layers · 2 · heads · headDim] of key and value heads, a
 * layer after the other, keys before values. A network that made the rows is evaluated when PEFT saves. PEFT hands the
 * prefix over as a past, so it takes n positions in every model.
 */
import type { AttentionPlace, Spec } from "../core/mod.ts";
import { flagField, numberField, type PeftFields, type PeftTensor, wrong } from "./peft_codec.ts";
import type { PrefixTuningOptions } from "./prefix_tuning.ts";
import { PROMPT_FIELDS } from "./prompt_peft.ts";

/** Fields of `peft_type` "PREFIX_TUNING". */
export const PREFIX_FIELDS: PeftFields = {
  ...PROMPT_FIELDS,
  encoder_hidden_size: null,
  prefix_projection: false,
  init_weights: null,
};

/**
 * The options.
 *
 * @throws {TypeError} when a field has the wrong kind.
 * @throws {RangeError} on a model with two stacks.
 * @example
 * ```ts
 * import { freshModel, PREFIX_FIELDS, readPrefix, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(readPrefix({ ...PREFIX_FIELDS, num_virtual_tokens: 5 }, spec).length, 5);
 * assert.throws(
 *   () => readPrefix({ ...PREFIX_FIELDS, num_virtual_tokens: 5, num_layers: 9 }, spec),
 *   TypeError,
 * );
 * ```
 */
export function readPrefix(
  fields: PeftFields,
  spec: Spec,
): PrefixTuningOptions & { readonly length: number } {
  flagField(fields, "prefix_projection"); // how the rows were made, which is past
  const places = prefixPlaces(spec);
  const { keyValueHeads: heads, headDim } = places[0]!;
  for (
    const [name, expected] of [
      ["num_layers", places.length],
      ["num_attention_heads", heads],
      ["token_dim", heads * headDim],
    ] as const
  ) {
    if (fields[name] !== null && fields[name] !== expected) {
      return wrong(name, `${expected}, as the model has it`, fields[name]);
    }
  }
  return {
    length: numberField(fields, "num_virtual_tokens"),
    network: "none",
    positions: places[0]!.stack === "decoder" ? "past" : "always",
  };
}

/**
 * The fields of a prefix.
 *
 * @throws {RangeError} when PEFT would compute something else.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig, writePrefix } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const fields = writePrefix({ length: 5 }, spec);
 * assert.deepEqual([fields.num_virtual_tokens, fields.token_dim, fields.num_layers], [5, 16, 2]);
 * ```
 */
export function writePrefix(
  { length = 10, positions = "past" }: PrefixTuningOptions,
  spec: Spec,
): PeftFields {
  const places = prefixPlaces(spec);
  const { stack, keyValueHeads: heads, headDim } = places[0]!;
  if (positions === "none" || (positions === "past" && stack === "encoder")) {
    throw new RangeError(
      `Cannot save this prefix for PEFT: there it takes positions of the text, and its positions are "${positions}"; train it ` +
        `with "${stack === "encoder" ? "always" : "past"}"`,
    );
  }
  return {
    ...PREFIX_FIELDS,
    num_virtual_tokens: length,
    token_dim: heads * headDim,
    num_transformer_submodules: 1,
    num_attention_heads: heads,
    num_layers: places.length,
    encoder_hidden_size: heads * headDim,
  };
}

/**
 * Where each attention's keys and values lie in the table.
 *
 * @example
 * ```ts
 * import { freshModel, prefixTensors, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [first, second] = prefixTensors(5, spec); // keys and values of the first layer
 * assert.deepEqual(first!.stored, [5, 2 * 2 * 16]); // all layers' keys and values in one table
 * assert.deepEqual([first!.part!.from, second!.part!.from], [0, 16]);
 * ```
 */
export function prefixTensors(length: number, spec: Spec): readonly PeftTensor[] {
  const places = prefixPlaces(spec);
  const { keyValueHeads: heads, headDim } = places[0]!;
  const width = heads * headDim;
  return places.flatMap(({ path }, layer) =>
    ["k", "v"].map((part, i): PeftTensor => ({
      path: `${path}.${part}`,
      key: "prompt_embeddings",
      shape: [length, heads, headDim],
      stored: [length, places.length * 2 * width],
      part: { axis: 1, from: (2 * layer + i) * width },
    }))
  );
}

/** The attentions of the one stack, by layer. */
function prefixPlaces(spec: Spec): readonly AttentionPlace[] {
  if (spec.stacks.length !== 1 || spec.attentions.length === 0) {
    throw new RangeError(
      `Cannot hold a prefix of ${spec.architecture} in a PEFT folder: for an encoder and a decoder PEFT stores rows that its ` +
        "forward pass then drops or gives to other layers",
    );
  }
  return spec.attentions;
}

/**
 * Prefix tuning in PEFT folders: one table `prompt_embeddings` [n, layers · 2 · heads · headDim] of key and
 * value heads, layer by layer, keys before values. A network that generated the rows is evaluated when PEFT
 * saves. PEFT passes the prefix as past keys and values, so it occupies n positions in every model. In
 * encoder-decoder models only the decoder has them, and which of the table's layers a block reads is an
 * implementation accident: rows "peft".
 */
import { withDefaults } from "../peft/layers.ts";
import type { MethodConfig, Spec } from "../../core/mod.ts";
import { knownFields } from "../../formats/peft_config.ts";
import {
  flagField,
  type MainPart,
  numberField,
  type PeftFields,
  type PeftTensor,
  wrong,
} from "../peft/codec.ts";
import type { PeftForm } from "../peft/form.ts";
import { type PrefixPlace, prefixPlaces } from "./prefix_places.ts";
import { prefixTuning, type PrefixTuningOptions } from "./prefix_tuning.ts";
import { PROMPT_FIELDS } from "./prompt_peft.ts";
import { rangeError } from "../../errors/error.ts";

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
 * @throws {TypeError} when a field has the wrong kind, or is not the model's.
 * @throws {RangeError} on a model whose decoder has more blocks than its encoder.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { PREFIX_FIELDS, readPrefix } from "@graft/peft/methods/codecs";
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
  flagField(fields, "prefix_projection"); // how the rows were generated, which no longer matters
  const { places, rows, layers, heads, width } = tableOf(spec);
  for (
    const [name, expected] of [
      ["num_layers", layers],
      ["num_attention_heads", heads],
      ["token_dim", width],
      ["num_transformer_submodules", spec.stacks.length],
    ] as const
  ) {
    if (fields[name] !== null && fields[name] !== expected) {
      return wrong(name, `${expected}, as the model has it`, fields[name]);
    }
  }
  return {
    length: numberField(fields, "num_virtual_tokens"),
    network: "none",
    positions: places[0]!.place.stack === "decoder" ? "past" : "always",
    ...rows !== "own" && { rows },
  };
}

/**
 * The fields of a prefix.
 *
 * @throws {RangeError} when PEFT would compute something else.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { writePrefix } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const fields = writePrefix({ length: 5 }, spec);
 * assert.deepEqual([fields["num_virtual_tokens"], fields["token_dim"], fields["num_layers"]], [5, 16, 2]);
 * ```
 */
export function writePrefix(
  options: PrefixTuningOptions,
  spec: Spec,
): PeftFields {
  const { length, positions, distances = "true", rows } = withDefaults(prefixTuning, options);
  const { places, rows: theirs, layers, heads, width } = tableOf(spec);
  const { stack } = places[0]!.place;
  if (rows !== theirs) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save this prefix for PEFT: there a model with ${
        theirs === "peft" ? "an encoder and a decoder" : "one stack"
      } has rows "${theirs}", and its rows are "${rows}"`,
    );
  }
  if (distances !== "true") {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save this prefix for PEFT: there distances are "true", not "${distances}"`,
    );
  }
  if (positions === "none" || (positions === "past" && stack === "encoder")) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save this prefix for PEFT: there it takes positions of the text, and its positions are "${positions}"; train it ` +
        `with "${stack === "encoder" ? "always" : "past"}"`,
    );
  }
  return {
    ...PREFIX_FIELDS,
    num_virtual_tokens: length,
    token_dim: width,
    num_transformer_submodules: spec.stacks.length,
    num_attention_heads: heads,
    num_layers: layers,
    encoder_hidden_size: width,
  };
}

/**
 * The position of each attention's keys and values in the table.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { prefixTensors } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [first, second] = prefixTensors(5, spec); // keys and values of the first layer
 * assert.deepEqual(first!.stored, [5, 2 * 2 * 16]); // all layers' keys and values in one table
 * assert.deepEqual([first!.part!.from, second!.part!.from], [0, 16]);
 * ```
 */
export function prefixTensors(length: number, spec: Spec): readonly PeftTensor[] {
  const { places, layers, heads, width } = tableOf(spec);
  return places.filter(({ place, source }) => place === source).flatMap(({ source: { path }, number }) =>
    ["k", "v"].map((part, i): PeftTensor => ({
      path: `${path}.${part}`,
      key: "prompt_embeddings",
      shape: [length, heads, width / heads],
      stored: [length, layers * 2 * width],
      part: { axis: 1, from: (2 * number + i) * width },
    }))
  );
}

/** Folders of `peft_type` "PREFIX_TUNING". */
export const prefixPeft: PeftForm = {
  types: ["PREFIX_TUNING"],
  methods: [prefixTuning.definition],
  finalized: [{ definition: prefixTuning.definition, when: ({ network }) => network !== "none" }],
  read: (config, { spec }) => {
    const fields = knownFields(config, PREFIX_FIELDS, {});
    return { main: prefixPart(readPrefix(fields, spec), fields, spec), fields };
  },
  write: ({ options }, { spec }) => {
    const prefix = options as MethodConfig & PrefixTuningOptions & { readonly length: number };
    return { main: prefixPart(prefix, writePrefix(prefix, spec), spec), targets: {} };
  },
};

function prefixPart(
  options: PrefixTuningOptions & { readonly length: number },
  fields: PeftFields,
  spec: Spec,
): MainPart {
  return {
    type: "PREFIX_TUNING",
    method: prefixTuning(options),
    places: [],
    tensors: prefixTensors(options.length, spec),
    fields,
    savedPrefix: "base_model.",
  };
}

/** The attentions that read the table, and its sizes; `width` is that of a layer's keys. */
interface Table {
  readonly places: readonly PrefixPlace[];
  readonly rows: "own" | "peft";
  readonly layers: number;
  readonly heads: number;
  readonly width: number;
}

function tableOf(spec: Spec): Table {
  const rows = spec.stacks.length > 1 ? "peft" : "own";
  const places = prefixPlaces(spec, rows);
  const { keyValueHeads: heads, headDim } = places[0]!.place;
  const layers = rows === "own"
    ? places.length
    : spec.stacks.find(({ stack }) => stack === "encoder")!.layers;
  return { places, rows, layers, heads, width: heads * headDim };
}

/**
 * RandLoRA in PEFT folders: `randlora_lambda` [r, n] and `randlora_gamma` [n, min] below the layer's path,
 * and with `save_projection` the shared `randlora_A` [r, 1, min] and `randlora_B` [max, n, r], outside the
 * model's own modules and again below every layer's path.
 */
import type { Filled } from "../../core/options/mod.ts";
import type { MatrixPlace } from "../../core/mod.ts";
import { flagField, numberField, type PeftCodec, type PeftFields, type PeftTensor } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer, withDefaults } from "../peft/layers.ts";
import { randlora, type RandLoraOptions, randLoraScaleShapes, randLoraShapes } from "./randlora.ts";

const { exclude_modules: _, ...layerFields } = LAYER_FIELDS;

/**
 * Codec of `peft_type` "RANDLORA".
 *
 * @example
 * ```ts
 * import { randloraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(randloraPeft.read({ ...randloraPeft.fields, sparse: true }).bases, "sparse");
 * ```
 */
export const randloraPeft: PeftCodec<RandLoraOptions> = {
  type: "RANDLORA",
  fields: {
    ...layerFields,
    r: 32,
    projection_prng_key: 0,
    save_projection: true,
    sparse: false,
    very_sparse: false,
    randlora_dropout: 0,
    randlora_alpha: 640,
    fan_in_fan_out: false,
    bias: "none",
    init_weights: true,
  },
  biases: "randlora_only",
  refused: {},
  read: (fields) => ({
    rank: numberField(fields, "r"),
    alpha: numberField(fields, "randlora_alpha"),
    bases: basesOf(fields),
    projectionSeed: numberField(fields, "projection_prng_key"),
    projections: flagField(fields, "save_projection") ? "stored" : "regenerated",
    dropout: numberField(fields, "randlora_dropout"),
    initialization: flagField(fields, "init_weights") ? "zeros" : "normal",
  }),
  write: (given) => {
    const options = withDefaults(randlora, given);
    return {
      r: options.rank,
      randlora_alpha: options.alpha ?? 20 * options.rank,
      sparse: options.bases === "sparse",
      very_sparse: options.bases === "verySparse",
      projection_prng_key: options.projectionSeed,
      save_projection: options.projections === "stored",
      randlora_dropout: options.dropout,
      init_weights: options.initialization !== "normal",
    };
  },
  method: randlora,
  tensors: (places, given) => {
    const options = withDefaults(randlora, given);
    return [
      ...places.flatMap((place) => scales(place, options)),
      ...options.projections === "stored" ? bases(places, options) : [],
    ];
  },
};

/** PEFT checks `very_sparse` first. */
function basesOf(fields: PeftFields): NonNullable<RandLoraOptions["bases"]> {
  if (flagField(fields, "very_sparse")) return "verySparse";
  return flagField(fields, "sparse") ? "sparse" : "uniform";
}

function scales(place: MatrixPlace, options: Filled<RandLoraOptions>): readonly PeftTensor[] {
  const { path } = peftLayer("RandLoRA", place, "with Conv1D");
  const { lambda, gamma } = randLoraScaleShapes(place, options);
  return [
    { path: `${path}.lambda`, key: `${path}.randlora_lambda`, shape: lambda },
    { path: `${path}.gamma`, key: `${path}.randlora_gamma`, shape: gamma },
  ];
}

function bases(places: readonly MatrixPlace[], options: Filled<RandLoraOptions>): readonly PeftTensor[] {
  const { a, b } = randLoraShapes(places, options);
  const each = (name: string): readonly string[] => places.map(({ path }) => `${path}.${name}`);
  return [
    {
      path: "frozen.a",
      key: "base_model.randlora_A",
      shape: a,
      stored: [a[0], 1, a[1]],
      copies: each("randlora_A"),
    },
    { path: "frozen.b", key: "base_model.randlora_B", shape: b, copies: each("randlora_B") },
  ];
}

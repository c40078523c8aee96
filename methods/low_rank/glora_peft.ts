/**
 * GLoRA in PEFT folders: `glora_A.Xd` [out, r] and `glora_A.Xu` [r, in], or `glora_A.X`, and likewise for B
 * to E, below the layer's path. PEFT has one form for A and B, and one for D and E, and writes zeros for
 * absent parts.
 */
import { glora, type GloraMatrix, type GloraOptions, type GloraPart, gloraShapes } from "./glora.ts";
import { flagField, numberField, type PeftCodec, type PeftFields, wrong } from "../peft/codec.ts";
import { peftLayer, withDefaults } from "../peft/layers.ts";
import { rangeError } from "../../errors/error.ts";

const OURS: Readonly<Record<string, GloraMatrix>> = {
  lora: "lowRank",
  vector: "vector",
  constant: "constant",
  none: "none",
};

/**
 * Codec of `peft_type` "GLORA".
 *
 * @example
 * ```ts
 * import { gloraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(gloraPeft.read({ ...gloraPeft.fields, config_A_B: "vector" }).b, "vector");
 * assert.throws(() => gloraPeft.write({ a: "vector" }), /one form for a and b/);
 * ```
 */
export const gloraPeft: PeftCodec<GloraOptions> = {
  type: "GLORA",
  fields: {
    modules_to_save: null,
    r: 8,
    bias: "none",
    config_A_B: "lora",
    config_C: "lora",
    config_D_E: "constant",
    init_weights: true,
  },
  biases: "glora_only",
  refused: {},
  read: (fields) => {
    const matrix = form(fields, "config_A_B", ["lora", "vector", "constant", "none"]);
    const bias = form(fields, "config_D_E", ["vector", "constant", "none"]) as NonNullable<GloraOptions["d"]>;
    return {
      rank: numberField(fields, "r"),
      a: matrix,
      b: matrix,
      c: form(fields, "config_C", ["lora", "vector", "none"]) as NonNullable<GloraOptions["c"]>,
      d: bias,
      e: bias,
      initialization: flagField(fields, "init_weights") ? "default" : "none",
    };
  },
  write: (given) => {
    const { rank, a, b, c, d, e, ...rest } = withDefaults(glora, given);
    if (a !== b || d !== e) {
      throw rangeError(
        "CANNOT_SAVE",
        `Cannot save this glora for PEFT, which has one form for a and b and one for d and e: here they are ${a} and ${b}, ${d} ` +
          `and ${e}`,
      );
    }
    const theirs = (form: GloraMatrix): string => form === "lowRank" ? "lora" : form;
    return {
      r: rank,
      config_A_B: theirs(a),
      config_C: theirs(c),
      config_D_E: theirs(d),
      init_weights: rest.initialization !== "none",
    };
  },
  method: glora,
  tensors: (places, options) =>
    places.flatMap((place) => {
      const { path, inFeatures, outFeatures } = peftLayer("GLoRA", place, "without Conv1D");
      const shapes = Object.entries(gloraShapes(place, options));
      const keyOf = (part: string, tensor: string): string => `${path}.glora_${part.toUpperCase()}.${tensor}`;
      const empty: Readonly<Record<GloraPart, readonly number[]>> = {
        a: [outFeatures, inFeatures],
        b: [outFeatures, inFeatures],
        c: [inFeatures, 1],
        d: [outFeatures],
        e: [outFeatures],
      };
      return [
        ...shapes.map(([name, shape]) => {
          const [part, factor] = name.split(".") as [string, string];
          return {
            path: `${path}.${name}`,
            key: keyOf(part, { down: "Xd", up: "Xu", x: "X" }[factor]!),
            shape,
          };
        }),
        ...Object.entries(empty).filter(([part]) => !shapes.some(([name]) => name.startsWith(`${part}.`)))
          .map((
            [part, shape],
          ) => ({ path: `${path}.${part}`, key: keyOf(part, "zeros"), shape, zeros: true as const })),
      ];
    }),
};

function form(fields: PeftFields, name: string, known: readonly string[]): GloraMatrix {
  const value = fields[name];
  return typeof value === "string" && known.includes(value)
    ? OURS[value]!
    : wrong(name, known.map((word) => JSON.stringify(word)).join(" or "), value);
}

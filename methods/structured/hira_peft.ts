/**
 * HiRA in PEFT folders: `hira_A` [r, in] and `hira_B` [out, r] below the layer's path; for an embedding,
 * `hira_embedding_A` and `_B`.
 */
import { sizesOf } from "../../core/mod.ts";
import { hira, type HiraOptions, hiraRank } from "./hira.ts";
import { numberField, type PeftCodec, wrong } from "../peft/codec.ts";
import { LAYER_FIELDS } from "../peft/layers.ts";

/**
 * Codec of `peft_type` "HIRA". PEFT records `rank_pattern` but gives every layer the rank r regardless.
 *
 * @example
 * ```ts
 * import { hiraPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(hiraPeft.read({ ...hiraPeft.fields, init_weights: "gaussian" }).initialization, "gaussian");
 * ```
 */
export const hiraPeft: PeftCodec<HiraOptions> = {
  type: "HIRA",
  fields: {
    ...LAYER_FIELDS,
    r: 32,
    hira_dropout: 0,
    fan_in_fan_out: false,
    init_weights: true,
    rank_pattern: {},
  },
  refused: {},
  read: (fields) => ({
    rank: numberField(fields, "r"),
    dropout: numberField(fields, "hira_dropout"),
    initialization: startOf(fields["init_weights"] ?? false),
  }),
  write: (options) => ({
    r: rankOf(options),
    hira_dropout: options.dropout ?? 0,
    init_weights:
      ({ default: true, gaussian: "gaussian", none: false } as const)[options.initialization ?? "default"],
  }),
  method: hira,
  tensors: (places, options) =>
    places.flatMap((place) => {
      const { path, kind } = place;
      const { inFeatures, outFeatures } = sizesOf(place);
      const r = hiraRank(path, options);
      const name = kind === "embedding" ? "hira_embedding" : "hira";
      return [
        { path: `${path}.a`, key: `${path}.${name}_A`, shape: [r, inFeatures] },
        { path: `${path}.b`, key: `${path}.${name}_B`, shape: [outFeatures, r] },
      ];
    }),
};

/** @throws {RangeError} when layers have ranks of their own. */
function rankOf({ rank = 32, rankPattern = {} }: HiraOptions): number {
  const other = Object.entries(rankPattern).find(([, r]) => r !== rank);
  if (other === undefined) return rank;
  throw new RangeError(
    `PEFT gives all layers of HiRA one rank: "${other[0]}" of rankPattern has ${
      other[1]
    } and the others have ${rank}`,
  );
}

function startOf(value: unknown): NonNullable<HiraOptions["initialization"]> {
  if (value === true) return "default";
  if (value === false) return "none";
  return typeof value === "string" && value.toLowerCase() === "gaussian"
    ? "gaussian"
    : wrong("init_weights", 'true, false or "gaussian"', value as string);
}

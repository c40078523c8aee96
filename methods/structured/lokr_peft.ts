/** LoKr in PEFT folders: `lokr_w1`, `lokr_w2`, or `lokr_w2_a` and `lokr_w2_b` for a split factor, below the layer's path. */
import type { Json, MatrixPlace } from "../../core/mod.ts";
import { lokr, type LokrOptions, lokrShapes } from "./lokr.ts";
import {
  flagField,
  numberField,
  patternField,
  type PeftCodec,
  type PeftTensor,
  wrong,
} from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer } from "../peft/layers.ts";

/**
 * Codec of `peft_type` "LOKR".
 *
 * @example
 * ```ts
 * import { lokrPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(lokrPeft.read({ ...lokrPeft.fields, decompose_both: true }).split, "both");
 * ```
 */
export const lokrPeft: PeftCodec<LokrOptions> = {
  type: "LOKR",
  fields: {
    ...LAYER_FIELDS,
    r: 8,
    alpha: 8,
    rank_pattern: {},
    alpha_pattern: {},
    rank_dropout: 0,
    rank_dropout_scale: false,
    module_dropout: 0,
    use_effective_conv2d: false,
    decompose_both: false,
    decompose_factor: -1,
    init_weights: true,
  },
  refused: {},
  read: (fields) => {
    const rankPattern = patternField(fields, "rank_pattern");
    const alphaPattern = patternField(fields, "alpha_pattern");
    return {
      rank: numberField(fields, "r"),
      alpha: numberField(fields, "alpha"),
      ...rankPattern && { rankPattern },
      ...alphaPattern && { alphaPattern },
      rowDropout: numberField(fields, "rank_dropout"),
      rowDropoutScaling: flagField(fields, "rank_dropout_scale") ? "kept" : "none",
      moduleDropout: numberField(fields, "module_dropout"),
      split: flagField(fields, "decompose_both") ? "both" : "second",
      factor: numberField(fields, "decompose_factor"),
      initialization: initializationOf(fields["init_weights"]),
    };
  },
  write: (options) => ({
    r: options.rank ?? 8,
    alpha: options.alpha ?? options.rank ?? 8,
    rank_pattern: options.rankPattern ?? {},
    alpha_pattern: options.alphaPattern ?? {},
    rank_dropout: options.rowDropout ?? 0,
    rank_dropout_scale: options.rowDropoutScaling === "kept",
    module_dropout: options.moduleDropout ?? 0,
    decompose_both: splitOf(options) === "both",
    decompose_factor: options.factor ?? -1,
    init_weights:
      ({ peft: true, none: false, lycoris: "lycoris" } as const)[options.initialization ?? "peft"],
  }),
  method: lokr,
  tensors: (places, options) => places.flatMap((place) => factors(place, options)),
};

function factors(place: MatrixPlace, options: LokrOptions): readonly PeftTensor[] {
  const { path } = peftLayer("LoKr", place, "without Conv1D");
  const shapes = lokrShapes(place, options);
  if (JSON.stringify(shapes) !== JSON.stringify(lokrShapes(place, { ...options, order: "given" }))) {
    throw new RangeError(
      `PEFT puts the factor of "${path}" first even where it is the larger: use the order "given"`,
    );
  }
  if (options.scaling === "unitWhenFull" && shapes.w1 !== undefined && shapes.w2 !== undefined) {
    throw new RangeError(
      `PEFT scales LoKr by alpha / r where neither factor of "${path}" is split, not by 1: use the "standard" scaling`,
    );
  }
  return Object.entries(shapes).map(([name, shape]) => ({
    path: `${path}.${name}`,
    key: `${path}.lokr_${name.replace(/[ab]$/, "_$&")}`,
    shape,
  }));
}

function splitOf({ split = "second" }: LokrOptions): "second" | "both" {
  if (split === "none") {
    throw new RangeError(
      'PEFT splits LoKr\'s second factor where the rank allows it: use split "second" or "both"',
    );
  }
  return split;
}

function initializationOf(value: Json | undefined): NonNullable<LokrOptions["initialization"]> {
  switch (value) {
    case true:
      return "peft";
    case false:
      return "none";
    case "lycoris":
      return value;
    default:
      return wrong("init_weights", 'true, false or "lycoris"', value);
  }
}

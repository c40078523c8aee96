/** LoKr in PEFT folders: `lokr_w1`, `lokr_w2`, or `lokr_w2_a` and `lokr_w2_b` for a split factor, below the layer's path. */
import type { Json, MatrixPlace } from "../../core/mod.ts";
import { lokr, type LokrOptions } from "./lokr.ts";
import { flagField, numberField, patternField, type PeftCodec, wrong } from "../peft/codec.ts";
import { LAYER_FIELDS, layerShapes, layerTensors, withDefaults } from "../peft/layers.ts";
import { rangeError } from "../../errors/error.ts";

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
  write: (options) => {
    const own = withDefaults(lokr, options);
    if (own.split === "none") {
      throw rangeError(
        "CANNOT_SAVE",
        'PEFT splits LoKr\'s second factor where the rank allows it: use split "second" or "both"',
      );
    }
    return {
      r: own.rank,
      alpha: own.alpha ?? own.rank,
      rank_pattern: own.rankPattern ?? {},
      alpha_pattern: own.alphaPattern ?? {},
      rank_dropout: own.rowDropout,
      rank_dropout_scale: own.rowDropoutScaling === "kept",
      module_dropout: own.moduleDropout,
      decompose_both: own.split === "both",
      decompose_factor: own.factor,
      init_weights: ({ peft: true, none: false, lycoris: "lycoris" } as const)[own.initialization],
    };
  },
  method: lokr,
  tensors: (places, options, spec) => {
    for (const place of places) checkLayer(place, options);
    return layerTensors(lokr, (leaf) => `lokr_${leaf.replace(/[ab]$/, "_$&")}`, "without Conv1D")(
      places,
      options,
      spec,
    );
  },
};

/** @throws {RangeError} when PEFT would give the layer's factors other sizes, or another scale. */
function checkLayer(place: MatrixPlace, options: LokrOptions): void {
  const shapes = layerShapes(lokr, place, options);
  if (JSON.stringify(shapes) !== JSON.stringify(layerShapes(lokr, place, { ...options, order: "given" }))) {
    throw rangeError(
      "CANNOT_SAVE",
      `PEFT puts the factor of "${place.path}" first even where it is the larger: use the order "given"`,
    );
  }
  if (options.scaling === "unitWhenFull" && shapes["w1"] !== undefined && shapes["w2"] !== undefined) {
    throw rangeError(
      "CANNOT_SAVE",
      `PEFT scales LoKr by alpha / r where neither factor of "${place.path}" is split, not by 1: use the "standard" scaling`,
    );
  }
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

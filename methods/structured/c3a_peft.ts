/** C3A in PEFT folders: `c3a_kernel` [out / c, in / c, c] below the layer's path. */
import type { Json } from "../../core/mod.ts";
import { c3a, type C3aOptions } from "./c3a.ts";
import { numberField, patternField, type PeftCodec, wrong } from "../peft/codec.ts";
import { LAYER_FIELDS, layerTensors, withDefaults } from "../peft/layers.ts";

const { exclude_modules: _, ...layerFields } = LAYER_FIELDS;

/** PEFT's names of initializations, and ours. */
const STARTS = {
  xavier: "xavier_uniform",
  kaiming: "kaiming_uniform",
  normal: "gaussian",
  zeros: true,
} as const;

/**
 * Codec of `peft_type` "C3A".
 *
 * @example
 * ```ts
 * import { c3aPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.equal(c3aPeft.read({ ...c3aPeft.fields, block_size: 64 }).block, 64);
 * ```
 */
export const c3aPeft: PeftCodec<C3aOptions> = {
  type: "C3A",
  fields: {
    ...layerFields,
    block_size: 256,
    block_size_pattern: {},
    init_weights: "xavier_uniform",
    bias: "none",
  },
  biases: "c3a_only",
  refused: {},
  read: (fields) => {
    const blockPattern = patternField(fields, "block_size_pattern");
    return {
      block: numberField(fields, "block_size"),
      ...blockPattern && { blockPattern },
      initialization: startOf(fields["init_weights"]),
    };
  },
  write: (options) => {
    const { block, blockPattern, initialization } = withDefaults(c3a, options);
    return {
      block_size: block,
      block_size_pattern: blockPattern ?? {},
      init_weights: STARTS[initialization],
    };
  },
  method: c3a,
  tensors: layerTensors(c3a, (leaf) => `c3a_${leaf}`, "without Conv1D"),
};

/** `false` is PEFT's default initialization. */
function startOf(value: Json | undefined): NonNullable<C3aOptions["initialization"]> {
  if (value === false) return "xavier";
  const found = (Object.keys(STARTS) as (keyof typeof STARTS)[]).find((name) => STARTS[name] === value);
  return found ??
    wrong("init_weights", 'true, false, "xavier_uniform", "kaiming_uniform" or "gaussian"', value);
}

/** BOFT in PEFT folders: `boft_R` [m, n, c, c] and `boft_s` [out, 1] below the layer's path. */
import { boft, type BoftOptions } from "./boft.ts";
import { numberField, type PeftCodec } from "../peft/codec.ts";
import { LAYER_FIELDS, layerTensors, withDefaults } from "../peft/layers.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Codec of `peft_type` "BOFT". Without its CUDA kernel PEFT creates one factor but records the requested
 * number; to read such a folder, set the number to 1.
 *
 * @example
 * ```ts
 * import { boftPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const fields = { ...boftPeft.fields, boft_block_size: 8 };
 * assert.deepEqual(boftPeft.read(fields).blocks, { size: 8 });
 * ```
 */
export const boftPeft: PeftCodec<BoftOptions> = {
  type: "BOFT",
  fields: {
    ...LAYER_FIELDS,
    boft_block_size: 4,
    boft_block_num: 0,
    boft_n_butterfly_factor: 1,
    boft_dropout: 0,
    fan_in_fan_out: false,
    bias: "none",
    init_weights: true,
  },
  biases: "boft_only",
  refused: {},
  // Without its CUDA kernel PEFT uses one factor regardless of the requested number, in training and on loading, but
  // records the requested number.
  asStored: (fields, tensors) => {
    const rotations = [...tensors].filter(([name]) => name.endsWith(".boft_R"));
    const one = rotations.length > 0 && rotations.every(([, shape]) => shape[0] === 1);
    return one ? { ...fields, boft_n_butterfly_factor: 1 } : fields;
  },
  read: (fields) => {
    const [size, count] = [numberField(fields, "boft_block_size"), numberField(fields, "boft_block_num")];
    if ((size === 0) === (count === 0)) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected one of boft_block_size and boft_block_num to be 0 but found ${size} and ${count}`,
      );
    }
    return {
      blocks: size === 0 ? { count } : { size },
      factors: numberField(fields, "boft_n_butterfly_factor"),
      dropout: numberField(fields, "boft_dropout"),
    };
  },
  write: (options) => {
    const { blocks, factors, dropout } = withDefaults(boft, options);
    return {
      boft_dropout: dropout,
      boft_block_size: "size" in blocks ? blocks.size : 0,
      boft_block_num: "count" in blocks ? blocks.count : 0,
      boft_n_butterfly_factor: factors,
    };
  },
  method: boft,
  tensors: (places, options, spec) =>
    layerTensors(boft, (leaf) => `boft_${leaf === "r" ? "R" : leaf}`, "without Conv1D")(places, options, spec)
      .map((one) => one.path.endsWith(".s") ? { ...one, stored: [...one.shape, 1] } : one),
};

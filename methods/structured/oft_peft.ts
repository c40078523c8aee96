/** OFT in PEFT folders: the skew matrices' upper triangles, `oft_R.weight` [blocks, c (c − 1) / 2], below the layer's path. */
import { oft, type OftOptions } from "./oft.ts";
import { flagField, numberField, type PeftCodec, type PeftFields } from "../peft/codec.ts";
import { LAYER_FIELDS, layerTensors, withDefaults } from "../peft/layers.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Codec of `peft_type` "OFT". PEFT never applies `module_dropout`, so it is ignored here.
 *
 * @example
 * ```ts
 * import { oftPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * assert.deepEqual(oftPeft.read({ ...oftPeft.fields, oft_block_size: 8 }).blocks, { size: 8 });
 * ```
 */
export const oftPeft: PeftCodec<OftOptions> = {
  type: "OFT",
  fields: {
    ...LAYER_FIELDS,
    r: 0,
    oft_block_size: 32,
    module_dropout: 0,
    fan_in_fan_out: false,
    bias: "none",
    init_weights: true,
    coft: false,
    eps: 6e-5,
    block_share: false,
    use_cayley_neumann: true,
    num_cayley_neumann_terms: 5,
  },
  biases: "oft_only",
  refused: {},
  read: (fields) => {
    const series = flagField(fields, "use_cayley_neumann");
    if (series) checkVersion(fields);
    const [size, count] = [numberField(fields, "oft_block_size"), numberField(fields, "r")];
    if ((size === 0) === (count === 0)) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected one of r and oft_block_size to be 0 but found ${count} and ${size}`,
      );
    }
    return {
      blocks: size === 0 ? { count } : { size },
      uneven: "nearest",
      sharing: flagField(fields, "block_share") ? "shared" : "separate",
      cayley: series ? { terms: numberField(fields, "num_cayley_neumann_terms") } : "exact",
      ...flagField(fields, "coft") && { constraint: numberField(fields, "eps") },
    };
  },
  write: (options) => {
    const { blocks, cayley, sharing, constraint } = withDefaults(oft, options);
    return {
      r: "count" in blocks ? blocks.count : 0,
      oft_block_size: "size" in blocks ? blocks.size : 0,
      block_share: sharing === "shared",
      use_cayley_neumann: cayley !== "exact",
      num_cayley_neumann_terms: cayley === "exact" ? 5 : cayley.terms,
      coft: constraint !== undefined,
      eps: constraint ?? 6e-5,
    };
  },
  method: oft,
  tensors: layerTensors(oft, () => "oft_R.weight", "without Conv1D"),
};

/** Version 0.18 changed the last term of the series; the field exists since then. */
function checkVersion({ peft_version: version }: PeftFields): void {
  const [major, minor] = String(version).split(".").map(Number);
  if (major === 0 && minor! < 18) {
    throw rangeError(
      "ADAPTER_UNSUPPORTED",
      `Cannot load this OFT adapter: PEFT ${version} trained it with another series than 0.18 and later compute`,
    );
  }
}

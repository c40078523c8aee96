/** Initializations that change the base: by their names in PEFT configs, and what they take from a matrix. */
import { isQuantized, lookup, type MatrixPlace, type Model, Tensor } from "../../core/mod.ts";
import { leading, matmul, qr, slice, svd, transpose } from "../../ops/mod.ts";
import { type PeftFields, wrong } from "../peft/codec.ts";
import { balanced } from "./balanced.ts";
import type { LoraFactors } from "./lora.ts";
import { rangeError } from "../../errors/error.ts";

/** How the base was changed. */
export type Start = { readonly name: "pissa" | "olora" } | Loftq;

/** LoftQ of 4 or 8 bits, in T passes. */
export interface Loftq {
  readonly name: "loftq";
  readonly bits: 4 | 8;
  readonly passes: number;
}

/** A layer of the folder: its rank there, s, and whether PEFT changes its matrix. */
export interface StartedLayer {
  readonly place: MatrixPlace;
  readonly rank: number;
  readonly scale: number;
  readonly changes: boolean;
}

/**
 * The initialization named in a config, if it changes the base.
 *
 * @throws {RangeError} when PEFT itself cannot repeat it from the folder, or not in this way.
 */
export function startOf(fields: PeftFields): Start | undefined {
  const value = fields["init_lora_weights"];
  if (typeof value !== "string") return undefined;
  const name = value.toLowerCase();
  const reason = name === "corda"
    ? "CorDA's start needs the activations it was made from, so PEFT cannot load the folder either"
    : name === "lora_ga"
    ? "LoRA-GA's start needs the gradients it was made from; PEFT loads the folder and leaves the base, which is another function"
    : /^pissa_niter_\d+$/.test(name)
    ? "a randomized SVD changed the base, and another draw, PEFT's own too, takes another part of it"
    : undefined;
  if (reason !== undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load an adapter with init_lora_weights "${value}": that changed the base's weights too. ${reason}; save it ` +
        "in PEFT with path_initial_model_for_weight_conversion, or merged",
    );
  }
  const known = name === "pissa" || name === "olora" || name === "loftq";
  if (known && Array.isArray(fields["layer_replication"])) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load an adapter with init_lora_weights "${value}" and layer_replication: PEFT changes the matrices that copies of a ` +
        "layer share once for each copy, so that none fits its factors",
    );
  }
  if (name === "loftq") return loftqOf(fields["loftq_config"]);
  return name === "pissa" || name === "olora" ? { name } : undefined;
}

/** How LoftQ quantized the weights. */
function loftqOf(given: PeftFields[string] | undefined): Loftq {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    return wrong("loftq_config", "a record", given);
  }
  const { loftq_bits: bits = 4, loftq_iter: passes = 1 } = given as PeftFields;
  if (bits !== 4 && bits !== 8) return wrong("loftq_config.loftq_bits", "4 or 8", bits);
  if (typeof passes !== "number" || !Number.isInteger(passes) || passes < 1) {
    return wrong("loftq_config.loftq_iter", "a positive integer", passes);
  }
  return { name: "loftq", bits, passes };
}

/** Whether a layer's matrix is quantized. */
export const isQuantizedLayer = ({ path }: MatrixPlace, { weights }: Model): boolean => {
  const leaf = lookup(weights, `${path}.weight`);
  return leaf instanceof Tensor && isQuantized(leaf.dtype);
};

/** A₀ [r, in] and B₀ [out, r] of W [out, in], which OLoRA factors as [in, out] if `lies`. */
export function taken(start: Start, w: Tensor, { rank, scale }: StartedLayer, lies: boolean): LoraFactors {
  if (start.name === "pissa") return balanced(leading(svd(w), rank), scale);
  // Q's first columns depend on those of the matrix alone, and R = Qᵀ W.
  const matrix = lies ? transpose(w) : w;
  const { q } = qr(slice(matrix, 1, 0, rank));
  const r = matmul(q, matrix, { transposeA: true });
  return lies ? { a: transpose(q), b: transpose(r) } : { a: r, b: q };
}

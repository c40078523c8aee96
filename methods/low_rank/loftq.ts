/**
 * LoftQ. Li et al. 2023, "LoftQ: LoRA-Fine-Tuning-Aware Quantization for Large Language Models", arXiv 2310.08659,
 * algorithm 1.
 *
 *   B A = 0;  T times:   Q = nf4(W − s B A)     U S Vᵀ = SVD(W − Q)     B = U_r √(S_r / s)     A = √(S_r / s) V_rᵀ
 *
 * The base becomes the quantized Q, and Q + s B A approximates W as well as the alternation can. It ends with
 * the SVD. The authors' code and PEFT omit s, so with α ≠ r they start from Q + s B A for a B A that was
 * fitted without s, which is not close to W; dividing S by s fixes that.
 */
import {
  copyTree,
  type DType,
  type Factors,
  type Method,
  type MethodConfig,
  type MethodDefinition,
  type Model,
} from "../../core/mod.ts";
import {
  bounded,
  checkOptions,
  count,
  filled,
  oneOf,
  option,
  optionsFromJson,
} from "../../core/options/mod.ts";
import { leading, subtract, svd } from "../../ops/mod.ts";
import { lora, LORA_SHARED, loraRank, loraScale, LOW_RANK } from "./lora.ts";
import { balanced, code, type Quantized, update } from "./balanced.ts";
import { changedBytes, type Prepared, type PreparedOptions, preparedRun, prepareSplit } from "./prepared.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of LoftQ: LoRA's, and how to quantize. */
export interface LoftqOptions extends PreparedOptions {
  /** Default "nf4". */
  readonly dtype?: DType;
  /** T, default 1; the paper's choice is 5. */
  readonly iterations?: number;
}

/**
 * Prepares LoftQ: a quantized base and an adapter that compensates most of the quantization error.
 *
 * @throws {RangeError} when a rank exceeds a matrix's size, T is not a positive integer, or targets match
 * nothing.
 * @example
 * ```ts
 * import { loftq, reference, weightBytes } from "@graft/peft";
 * import { freshModel } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const shape = { vocab_size: 16, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 1, num_attention_heads: 2 };
 * const model = freshModel({ model_type: "llama", ...shape }, { backend: reference(), key: 0 });
 * const { model: changed } = await loftq(model, { rank: 2, iterations: 5, targets: "all-linear" });
 * assert.ok(weightBytes(changed) < weightBytes(model));
 * ```
 */
export async function loftq<M extends Model>(model: M, options: LoftqOptions = {}): Promise<Prepared<M>> {
  const { dtype, iterations, ...rest } = { ...options, ...filled({ ...options }, ROUNDS) };
  if (!Number.isInteger(iterations) || iterations < 1) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected iterations to be a positive integer but found ${iterations}`,
    );
  }
  return await prepareSplit(loftqDefinition, model, rest, (w, place) => {
    const scale = loraScale(place.path, rest);
    const next = (target: Quantized): Factors =>
      balanced(leading(svd(subtract(w, target.decoded)), loraRank(place.path, rest)), scale);
    let quantized = code(w, place, dtype);
    let factors = next(quantized);
    for (let t = 1; t < iterations; t++) {
      quantized = code(subtract(w, update(factors, scale)), place, dtype);
      factors = next(quantized);
    }
    return { ...factors, rest: quantized.stored };
  });
}

/** How the base is quantized, and how often. */
const ROUNDS = {
  dtype: option(
    oneOf("nf4", "nf4_double", "fp4", "fp4_double", "int4", "e2m1", "e3m0", "int8"),
    "how the base is stored",
    "nf4",
  ),
  iterations: option(
    bounded(count, "terms"),
    "T, how often base and factors are fitted; the paper's is 5",
    1,
  ),
};

/** What is known of LoftQ: its base is quantized anew wherever its adapter is loaded. */
export const loftqDefinition: MethodDefinition = {
  name: "loftq",
  summary: "LoRA that starts from what quantization lost, on the quantized base.",
  facts: { parameters: "r (in + out)", merges: "as QLoRA" },
  title: "LoftQ",
  options: {
    ...LORA_SHARED,
    ...ROUNDS,
  },
  restore: (config) => onQuantizedBase(optionsFromJson(config)),
  base: async (model, options) => {
    const prepared = await loftq(model, options);
    const { method, params } = prepared.base;
    const base = copyTree(params);
    prepared.dispose();
    return { method, params: base };
  },
  cli: { ...LOW_RANK, rate: 3e-4 },
  prepare: async ({ model, options, seed }) => {
    const prepared = await loftq(model, { ...options, key: seed });
    // The base, which differs in every weight, is quantized again whenever the adapter is loaded.
    return preparedRun(
      prepared,
      (trained) => Promise.resolve({ ...trained, method: onQuantizedBase(options) }),
    );
  },
  plan: ({ options: { dtype: _, iterations: __, ...own } }) => lora(own),
  planBase: (given) => changedBytes(given, given.options["dtype"] as DType, 1),
  published: { setting: "r 8 on q and v; base apart", make: () => lora() },
};

/** LoRA of a base that is quantized by these options. */
function onQuantizedBase(options: Readonly<Record<string, unknown>>): Method {
  checkOptions("loftq", options, loftqDefinition.options);
  const { dtype: _, iterations: __, ...own } = options;
  return { ...lora(own), definition: loftqDefinition, name: "loftq", config: options as MethodConfig };
}

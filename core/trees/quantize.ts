/**
 * `quantize`: a model whose matrices are stored in fewer bits (QLoRA, arXiv 2305.14314; LLM.int8, arXiv
 * 2208.07339; GGUF blocks). Layouts and encodings are those of `DType`: nf4, fp4 and int8 match bitsandbytes
 * bit for bit, q4_0 … q8_0 match llama.cpp.
 *
 * Blocks and rows run over inputs: a matrix stored [in, out] (GPT-2's) is transposed first
 * (matrix_layout.ts).
 */
import {
  byteLength,
  type DType,
  isGguf,
  isQuantized,
  keepMade,
  lazy,
  scope,
  type Synchronous,
  Tensor,
} from "../../tensor/mod.ts";
import { castWeight, castWeightShape, isStoredTransposed } from "./matrix_layout.ts";
import type { Model } from "./model.ts";
import type { Spec } from "../edits/place.ts";
import { chooseTargets, type MatrixPlace, type Targets } from "../edits/targets.ts";
import { lookup, setLeaves, weightLeaves, withoutEdits } from "./weights.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Which matrices are quantized, and how. */
export interface QuantizeOptions {
  /** Dtype of the targets. */
  readonly dtype: DType;
  /** Default: the linear layers of the blocks. A name that matches nothing throws. */
  readonly targets?: Targets;
  /**
   * Dtype of the embedding tables and an untied head, unless `targets` names them; does not apply to tables
   * inside blocks, such as T5's relative positions. Default: unchanged.
   */
  readonly embeddings?: DType;
  /**
   * "lazy": weights are quantized when first read, for models that are only written to disk. Default:
   * immediately.
   */
  readonly leaves?: "lazy";
  /**
   * Quantize again weights that are already quantized to another dtype, which loses precision twice. Default
   * false.
   */
  readonly requantize?: boolean;
}

/**
 * The dtype that options assign to each chosen weight, by the weight's path. For loaders, which quantize
 * while loading.
 *
 * @throws {RangeError} when a target matches nothing.
 * @throws {TypeError} when a dtype cannot store weights.
 * @example
 * ```ts
 * import { freshModel, quantizationPlan, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const plan = quantizationPlan(spec, { dtype: "nf4", targets: ["q_proj"], embeddings: "f16" });
 * assert.equal(plan.get("model.layers.0.self_attn.q_proj.weight"), "nf4");
 * assert.equal(plan.get("model.embed_tokens.weight"), "f16");
 * ```
 */
export function quantizationPlan(spec: Spec, options: QuantizeOptions): ReadonlyMap<string, DType> {
  const targets = chooseTargets(spec, { targets: options.targets ?? "all-linear" });
  const others: readonly MatrixPlace[] = options.embeddings === undefined
    ? []
    : [...spec.embeddings.filter(({ layer }) => layer === undefined), ...spec.heads];
  return new Map([
    ...others.map((place) => [weightPathOf(place), stores(options.embeddings!)] as const),
    ...targets.map((place) => [weightPathOf(place), stores(options.dtype)] as const),
  ]);
}

/**
 * The model with its matrices stored in other dtypes. All other weights are shared, and grafted edits are
 * kept. Disposing it frees only what this call allocated; the base cannot be disposed before it.
 *
 * @throws {TypeError} when a weight is already quantized, unless `requantize` is set.
 * @throws {RangeError} when a GGUF type does not divide a matrix's last axis, or a target matches nothing.
 * @example
 * ```ts
 * import { freshModel, quantize, reference, smallConfig, weightBytes } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama", { width: 64 }), { backend: reference(), key: 0 });
 * const small = quantize(model, { dtype: "nf4_double", embeddings: "f16" });
 * assert.ok(weightBytes(small) < 0.2 * weightBytes(model));
 * small.dispose();
 * model.dispose();
 * ```
 */
export function quantize<M extends Model>(model: M, options: QuantizeOptions): M {
  const plan = quantizationPlan(model.spec, options);
  return withCastWeights(
    model,
    [...plan].flatMap(([path, dtype]) => {
      const leaf = lookup(model.weights, path);
      if (!(leaf instanceof Tensor) || leaf.dtype === dtype) return [];
      const shape = castWeightShape(leaf, dtype, isStoredTransposed(model.spec, path));
      checkQuantization(path, { dtype: leaf.dtype, shape }, dtype, options.requantize ?? false);
      return [[path, leaf, dtype] as const];
    }),
    options.leaves,
  );
}

/**
 * The model with every quantized weight dequantized (default f32, which represents the values exactly).
 * Shares and owns weights as `quantize` does.
 *
 * @example
 * ```ts
 * import { dequantize, freshModel, lookup, quantize, reference, smallConfig, Tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const small = quantize(model, { dtype: "nf4" });
 * const plain = dequantize(small, { dtype: "bf16" });
 * assert.equal((lookup(plain.weights, "model.layers.0.self_attn.q_proj.weight") as Tensor).dtype, "bf16");
 * ```
 */
export function dequantize<M extends Model>(
  model: M,
  options: { readonly dtype?: "f32" | "f16" | "bf16" } = {},
): M {
  return withCastWeights(
    model,
    weightLeaves(model.weights).filter(([, leaf]) => isQuantized(leaf.dtype))
      .map(([path, leaf]) => [path, leaf, options.dtype ?? "f32"] as const),
  );
}

/**
 * Bytes of a model's weights, counting shared storage once; grafted adapters are not counted.
 *
 * @example
 * ```ts
 * import { freshModel, quantize, reference, smallConfig, weightBytes } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const bytes = weightBytes(model);
 * assert.ok(weightBytes(quantize(model, { dtype: "nf4", embeddings: "f16" })) < bytes / 4);
 * ```
 */
export function weightBytes(model: Model): number {
  const storages = new Set(weightLeaves(model.weights).map(([, leaf]) => leaf.storage));
  return [...storages].reduce((sum, storage) => sum + storage.bytes, 0);
}

/**
 * Checks that a weight can be stored in a dtype; the message names it.
 *
 * @throws {TypeError | RangeError} when it cannot.
 * @example
 * ```ts
 * import { checkQuantization } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const leaf = { dtype: "nf4", shape: [4, 64] } as const;
 * assert.throws(() => checkQuantization("q.weight", leaf, "int8", false), /"q.weight" to int8: it is nf4 already/);
 * checkQuantization("q.weight", leaf, "int8", true);
 * ```
 */
export function checkQuantization(
  path: string,
  leaf: { readonly dtype: DType; readonly shape: readonly number[] },
  dtype: DType,
  requantize: boolean,
): void {
  if (isQuantized(leaf.dtype) && isQuantized(dtype) && !requantize) {
    throw typeError(
      "INVALID_ARGUMENT",
      `Cannot quantize "${path}" to ${dtype}: it is ${leaf.dtype} already; start from unquantized weights, dequantize ` +
        "it first, or pass { requantize: true } to lose precision a second time",
    );
  }
  try {
    byteLength(dtype, leaf.shape);
  } catch (error) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot quantize "${path}": ${
        (error as Error).message
      }; leave it out by \`targets\` or choose another dtype`,
    );
  }
}

/** The path of a place's weight; for a tied head, that of the embedding. */
function weightPathOf(place: MatrixPlace): string {
  return `${place.kind === "head" ? place.tiedTo ?? place.path : place.path}.weight`;
}

function stores(dtype: DType): DType {
  if (["i32", "u8", "dynamic8", "udynamic8"].includes(dtype)) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot store weights as ${dtype}: choose int8, a four-bit type, a GGUF type or a float type`,
    );
  }
  if (isGguf(dtype) && dtype.endsWith("_k")) {
    throw typeError(
      "INVALID_ARGUMENT",
      `Cannot quantize to ${dtype}: it can only be read; choose q8_0, q5_1, q5_0, q4_1 or q4_0`,
    );
  }
  return dtype;
}

function withCastWeights<M extends Model>(
  model: M,
  changes: readonly (readonly [string, Tensor, DType])[],
  leaves?: "lazy",
): M {
  // Weights shared by replicated layers stay shared.
  const shared = [...Map.groupBy(changes, ([, leaf, dtype]) => leaf.storage.id + dtype).values()];
  const made = scope((): Synchronous<readonly (readonly [string, Tensor])[]> =>
    shared.flatMap((same) => {
      const [path, leaf, dtype] = same[0]!;
      const inOut = isStoredTransposed(model.spec, path);
      const make = (): Tensor => castWeight(leaf, dtype, inOut);
      const shape = castWeightShape(leaf, dtype, inOut);
      const next = leaves === undefined ? make() : lazy(model.backend, shape, dtype, make);
      return same.map(([path]) => [path, next] as const);
    })
  );
  const weights = setLeaves(model.weights, made);
  // Lazy leaves read the base's.
  const root = keepMade(
    [withoutEdits(weights), leaves === undefined ? [] : changes.map(([, leaf]) => leaf)],
    withoutEdits(model.weights),
  );
  return { ...model, weights, dispose: () => root.dispose() };
}

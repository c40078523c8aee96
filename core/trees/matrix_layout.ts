/**
 * The memory layout of a linear layer's matrix. Unquantized matrices have the checkpoint's layout: [out, in],
 * or [in, out] in GPT-2. Quantized matrices are always [out, in], so that blocks and scales run over inputs:
 * transformers transposes GPT-2's matrices before bitsandbytes quantizes them, and GGUF stores only this
 * layout. Code that reads dequantized values always gets the checkpoint's layout.
 */
import { castTo, type DType, isQuantized, owned, scope, type Shape, Tensor } from "../../tensor/mod.ts";
import { transpose } from "../../ops/mod.ts";
import type { Model } from "./model.ts";
import type { Spec } from "../edits/place.ts";
import { lookup } from "./weights.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Whether a weight's unquantized layout is the transpose of its quantized layout.
 *
 * @param path The weight's path, including ".weight".
 * @example
 * ```ts
 * import { freshModel, isStoredTransposed, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("gpt2"), { backend: reference(), key: 0 });
 * assert.ok(isStoredTransposed(spec, "transformer.h.0.attn.c_attn.weight"));
 * assert.ok(!isStoredTransposed(spec, "transformer.wte.weight"));
 * ```
 */
export function isStoredTransposed(spec: Spec, path: string): boolean {
  return spec.linears.some((place) => place.transposed && path === `${place.path}.weight`);
}

/**
 * A weight in another dtype, transposed where the layouts differ. As in bitsandbytes, int8 is quantized from
 * f16 values.
 *
 * @param inOut The result of `isStoredTransposed` for it.
 * @example
 * ```ts
 * import { read, castWeight, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const w = tensor([[1, 2, 3]], { backend: reference() }); // [in, out]
 * const codes = castWeight(w, "int8", true);
 * assert.deepEqual(codes.shape, [3, 1]); // [out, in]
 * assert.deepEqual([...await read(castWeight(codes, "f32", true))], [1, 2, 3]);
 * ```
 */
export function castWeight(leaf: Tensor, dtype: DType, inOut: boolean): Tensor {
  const turns = inOut && isQuantized(leaf.dtype) !== isQuantized(dtype);
  const lying = turns ? transpose(castTo(leaf, "f32")) : leaf;
  return castTo(dtype === "int8" && leaf.dtype !== "int8" ? castTo(lying, "f16") : lying, dtype);
}

/**
 * The shape of the result of `castWeight`.
 *
 * @example
 * ```ts
 * import { castWeightShape } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(castWeightShape({ shape: [2, 3], dtype: "f16" }, "nf4", true), [3, 2]);
 * assert.deepEqual(castWeightShape({ shape: [2, 3], dtype: "f16" }, "f32", true), [2, 3]);
 * ```
 */
export function castWeightShape(
  leaf: { readonly shape: Shape; readonly dtype: DType },
  dtype: DType,
  inOut: boolean,
): Shape {
  return inOut && isQuantized(leaf.dtype) !== isQuantized(dtype) ? leaf.shape.toReversed() : leaf.shape;
}

/**
 * A weight's shape when dequantized.
 *
 * @throws {RangeError} when the model has no such weight.
 * @example
 * ```ts
 * import { freshModel, dequantizedShape, quantize, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("gpt2"), { backend: reference(), key: 0 });
 * const path = "transformer.h.0.attn.c_attn.weight";
 * assert.deepEqual(dequantizedShape(quantize(model, { dtype: "nf4" }), path), [16, 48]);
 * ```
 */
export function dequantizedShape({ weights, spec }: Model, path: string): Shape {
  return castWeightShape(leafAt(weights, path), "f32", isStoredTransposed(spec, path));
}

/**
 * A weight's values as a new f32 tensor in the checkpoint's layout, for methods that train the weight itself.
 *
 * @throws {RangeError} when the model has no such weight.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig, trainableCopy } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const copy = trainableCopy(model, "model.norm.weight");
 * assert.deepEqual([copy.dtype, copy.shape], ["f32", [16]]);
 * ```
 */
export function trainableCopy({ weights, spec }: Model, path: string): Tensor {
  return scope(() => owned(castWeight(leafAt(weights, path), "f32", isStoredTransposed(spec, path))));
}

function leafAt(weights: Model["weights"], path: string): Tensor {
  const leaf = lookup(weights, path);
  if (leaf instanceof Tensor) return leaf;
  throw rangeError("NO_SUCH_PLACE", `The weights have no "${path}"`);
}

/**
 * VB-LoRA. Li, Han and Ji 2024, "VB-LoRA: Extreme Parameter Efficient Fine-Tuning with Vector Banks", arXiv 2405.15179, section 3.
 *
 *   y = W x + b + B A x        A [r, in], B [out, r], cut into pieces of c values along in and out
 *   piece = Σ_{i in top-k(σ)} softmax(σ_i) v_i        bank v [h, c], logits σ [h] of the piece's own; the softmax over the k alone
 *
 * All layers share the bank. It starts uniform in ±0.02 and the logits normal, so that the model changes
 * slightly at initialization. A logit beyond the k largest has no gradient in that step. The paper uses
 * separate learning rates for bank and logits.
 */
import {
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  detach,
  fold,
  freshTargets,
  key as keyOf,
  madeLowRank,
  type MatrixPlace,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { bounded, count, number, option, probability } from "../../core/options/mod.ts";
import {
  add,
  addAll,
  argmax,
  concat,
  full,
  gatherLast,
  gatherRows,
  multiply,
  normal,
  permute,
  reshape,
  scatterAddLast,
  slice,
  softmax,
  uniform,
} from "../../ops/mod.ts";
import { bankLength } from "../shared/model_sizes.ts";
import { rankSchema, TARGETS } from "../shared/target_options.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rangeError } from "../../errors/error.ts";
import { withDefaults } from "../peft/layers.ts";

/** Options of VB-LoRA. */
export interface VbLoraOptions extends TargetOptions {
  /** r, default 4. */
  readonly rank?: number;
  /** h, the number of vectors in the bank, default 256. */
  readonly vectors?: number;
  /** c, their length, default 256. Divides the inputs and outputs of every layer. */
  readonly length?: number;
  /** k, default 2. With 1 the logits learn nothing. */
  readonly topK?: number;
  /** Bound of the bank's uniform initialization, default 0.02. */
  readonly bankBound?: number;
  /** Standard deviation of the initial logits, default 0.1. */
  readonly deviation?: number;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
}

/** One layer's logits: logitsA [r, in / c, h], logitsB [out / c, r, h]. */
export type VbLoraLogits = { readonly logitsA: Tensor; readonly logitsB: Tensor };

/**
 * VB-LoRA as a method. Parameters: `bank` [h, c], and `logitsA`, `logitsB` under each layer's path.
 *
 * @throws {RangeError} when a number is not a positive integer, k exceeds h, c does not divide a layer's
 * sizes, dropout is not in [0, 1), or targets match nothing.
 * @example
 * ```ts
 * import { vbLora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(vbLora({ vectors: 90, length: 64 }).name, "vb-lora");
 * ```
 */
export const vbLora: DefinedMethod<VbLoraOptions> = defineMethod<VbLoraOptions>({
  name: "vb-lora",
  summary: "Builds LoRA's factors from a bank of vectors that all layers share.",
  facts: { parameters: "r h (in + out) / c, and h c for the bank", merges: "yes" },
  title: "VB-LoRA",
  options: {
    ...TARGETS,
    rank: option(rankSchema, "r, the rank of an update", 4),
    vectors: option(bounded(count, "vocabulary"), "h, how many vectors the bank has", 256),
    length: option(bounded(count, "prompt"), "c, their length, which divides all inputs and outputs", 256),
    topK: option(
      bounded(count, "parts"),
      "k, how many vectors a piece mixes; with 1 logits learn nothing",
      2,
    ),
    bankBound: option(number, "bound of the bank's uniform start", 0.02),
    deviation: option(number, "standard deviation of the first logits", 0.1),
    dropout: option(probability, "dropout of the branch's input in training", 0),
  },
  create: (options) => {
    const { vectors, length, topK } = numbers(options);
    return {
      init: ({ model: { spec, backend }, key }) =>
        freshParams(() => {
          const bound = options.bankBound;
          const start = (shape: readonly number[], ...names: readonly string[]): Tensor =>
            normal(names.reduce(fold, keyOf(key)), shape, backend, options.deviation);
          return [
            ["bank", uniform(fold(keyOf(key), "bank"), [vectors, length], backend, -bound, bound)] as const,
            ...freshTargets(spec, options).flatMap((place) => {
              const { a, b } = vbLoraShapes(place, options);
              return [
                [`${place.path}.logitsA`, start(a, place.path, "a")] as const,
                [`${place.path}.logitsB`, start(b, place.path, "b")] as const,
              ];
            }),
          ];
        }),
      edits: (params, spec) =>
        chooseTargets(spec, options).map((place) => {
          const bank = params["bank"] as Tensor;
          const { logitsA, logitsB } = paramsAt(params, place.path) as VbLoraLogits;
          const { inFeatures, outFeatures } = sizesOf(place);
          const rank = logitsA.shape[0]!;
          const map = madeLowRank({ inFeatures, outFeatures, rank }, [bank, logitsA, logitsB], () => ({
            a: reshape(mixed(logitsA, bank, topK), [rank, inFeatures]),
            b: reshape(permute(mixed(logitsB, bank, topK), [0, 2, 1]), [outFeatures, rank]),
          }));
          return {
            kind: "linear",
            path: place.path,
            change: { form: "add", map, ...options.dropout && { dropout: options.dropout } },
          };
        }),
    };
  },
  cli: {
    rate: 1e-2,
    flags: ["rank", "dropout", "targets"],
    options: (_, __, places) => ({ length: bankLength(places) }),
  },
  published: {
    setting: ({ spec }) => `r 4 of 256 vectors of ${bankLength(chooseTargets(spec, {}))} on q and v`,
    options: ({ spec }) => ({ length: bankLength(chooseTargets(spec, {})) }),
  },
});

/** Σ softmax(σ)_i v_i over the k largest of σ [..., h]: [..., c]. */
function mixed(logits: Tensor, bank: Tensor, k: number): Tensor {
  const lead = logits.shape.slice(0, -1);
  const chosen = largest(detach(logits), k);
  const shares = softmax(concat(chosen.map((ids) => gatherLast(logits, reshape(ids, [...lead, 1]))), -1));
  return addAll(chosen.map((ids, i) => multiply(gatherRows(bank, ids), slice(shares, -1, i, i + 1))));
}

/** Ids [...] of the largest, the second largest, … of x [..., h]. */
function largest(x: Tensor, k: number): readonly Tensor[] {
  const ids = argmax(x);
  if (k === 1) return [ids];
  const one = [...ids.shape, 1];
  const taken = scatterAddLast(full(one, -Infinity, x.backend), reshape(ids, one), x.shape);
  return [ids, ...largest(add(x, taken), k - 1)];
}

/**
 * Shapes of a layer's logits.
 *
 * @throws {RangeError} when the vectors' length does not divide the layer's sizes.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig, vbLoraShapes } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const shapes = vbLoraShapes(spec.linears[0]!, { rank: 2, vectors: 9, length: 8 }); // of 16 · 16
 * assert.deepEqual(shapes, { a: [2, 2, 9], b: [2, 2, 9] });
 * ```
 */
export function vbLoraShapes(
  place: MatrixPlace,
  options: VbLoraOptions,
): { readonly a: readonly [number, number, number]; readonly b: readonly [number, number, number] } {
  const { inFeatures, outFeatures } = sizesOf(place);
  const { rank, vectors, length } = numbers(options);
  if (inFeatures % length !== 0 || outFeatures % length !== 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot make factors of "${place.path}" [${outFeatures}, ${inFeatures}] of vectors of ${length}: that divides not both sizes`,
    );
  }
  return { a: [rank, inFeatures / length, vectors], b: [outFeatures / length, rank, vectors] };
}

function numbers(options: VbLoraOptions) {
  const { rank, vectors, length, topK } = withDefaults(vbLora, options);
  if (topK > vectors) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected topK to be at most the ${vectors} vectors of the bank but found ${topK}`,
    );
  }
  return { rank, vectors, length, topK };
}

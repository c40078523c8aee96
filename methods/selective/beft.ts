/**
 * BEFT. Huang, Balashankar and Aminifar 2025, "BEFT: Bias-Efficient Fine-Tuning of Language Models in Low-Data Regimes",
 * arXiv 2509.15974.
 *
 *   v = W_v x + b_v + δ        δ [out], zero initially: the model is unchanged
 *
 * Of the query, key and value biases, those of the values help most when data is scarce. A layer without a
 * bias gets one. In a fused projection of query, key and value, δ shifts the third that computes values; PEFT
 * does not support BEFT there.
 */
import {
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  freshTargets,
  type MatrixPlace,
  paramsAt,
  type Place,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { TARGETS } from "../shared/target_options.ts";

/** Options of BEFT. By default the value layers, or the value third of a fused projection. */
export type BeftOptions = TargetOptions;

/**
 * BEFT as a method. Parameters: `shift` [out] under each layer's path, [out / 3] for a fused projection.
 *
 * @throws {RangeError} when targets match nothing.
 * @example
 * ```ts
 * import { adapt, beft, count, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("gpt2"), { backend: reference(), key: 0 });
 * assert.equal(count(model, adapt(model, beft())).trainable, 2 * 16); // one width a layer
 * ```
 */
export const beft: DefinedMethod<BeftOptions> = defineMethod<BeftOptions>({
  name: "beft",
  summary: "Trains a bias at the value projections alone.",
  facts: { trains: "the values' widths", changes: "the same, and new biases" },
  title: "BEFT",
  options: TARGETS,
  create: (options) => {
    const targets = { ...options, targets: options.targets ?? values };
    return {
      init: ({ model }) =>
        freshParams(() =>
          freshTargets(model.spec, targets).map((place) => {
            const [from, to] = rangeOf(place);
            return [`${place.path}.shift`, zeros([to - from], model.backend)] as const;
          })
        ),
      edits: (params, spec) =>
        chooseTargets(spec, targets).map((place) => ({
          kind: "linear",
          path: place.path,
          ...isFused(place) && { out: rangeOf(place) },
          change: { form: "bias", bias: (paramsAt(params, place.path) as { readonly shift: Tensor }).shift },
        })),
    };
  },
  cli: { rate: 1e-3, flags: ["targets"], targets: "own" },
  published: { setting: "the values' biases" },
});

const values = (place: Place): boolean =>
  place.kind === "linear" && (place.role === "value" || place.role === "qkv");

const isFused = (place: MatrixPlace): boolean => place.kind === "linear" && place.role === "qkv";

/** The outputs that are shifted. */
function rangeOf(place: MatrixPlace): readonly [from: number, to: number] {
  const { outFeatures } = sizesOf(place);
  return [isFused(place) ? 2 * outFeatures / 3 : 0, outFeatures];
}

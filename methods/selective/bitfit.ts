/**
 * BitFit. Ben-Zaken, Goldberg and Ravfogel 2021, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked
 * Language-models", arXiv 2106.10199.
 *
 *   b is trained, W is not:  y = W x + b     n = LayerNorm(x) with its bias
 *
 * All biases, as in the authors' `glue_evaluator.py`: linear layers, norms (also the embedding's), pooler and
 * head; or only those of the queries and the first feed-forward layers (the paper's table 3; their code adds
 * the pooler's). Optionally layers without a bias, including norms, get one of zeros, as in forks of T5:
 * those are new weights, not changed ones.
 *
 * The key's bias adds one constant to all scores of a query, so it has no effect and no gradient.
 */
import {
  type DefinedMethod,
  defineMethod,
  lookup,
  paramsAt,
  replaceLeaf,
  type Spec,
  Tensor,
  trainableCopy,
  type WeightEdit,
} from "../../core/mod.ts";
import { type Filled, oneOf, option } from "../../core/options/mod.ts";
import { zeros } from "../../ops/mod.ts";
import { classifierLeaves } from "../shared/classifier.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of BitFit. */
export interface BitfitOptions {
  /** All biases (default), or those of query and first feed-forward layers. */
  readonly biases?: "all" | "queryAndUp";
  /**
   * Treatment of layers and norms without a bias: they get one of zeros ("add") or none ("skip"). Default
   * "add".
   */
  readonly missing?: "add" | "skip";
  /**
   * Whether the classifier is trained as a whole, as in the paper ("whole", default), or only its bias
   * ("bias").
   */
  readonly classifier?: "whole" | "bias";
}

/**
 * BitFit as a method. Parameters are the biases under the checkpoint's names: `bert.encoder.layer.0.output.dense.bias`.
 *
 * @throws {RangeError} at init, when nothing has a bias and none is added.
 * @example
 * ```ts
 * import { bitfit } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(bitfit({ biases: "queryAndUp" }).name, "bitfit");
 * ```
 */
export const bitfit: DefinedMethod<BitfitOptions> = defineMethod<BitfitOptions>({
  name: "bitfit",
  summary: "Trains the biases alone.",
  facts: { trains: "L (4d + m + d + 2d) + 2d in BERT", changes: "the same" },
  title: "BitFit",
  options: {
    biases: option(
      oneOf("all", "queryAndUp"),
      "all, or those of queries and first feed-forward layers",
      "all",
    ),
    missing: option(oneOf("add", "skip"), "what layers without a bias get: one of zeros, or none", "add"),
    classifier: option(oneOf("whole", "bias"), "what trains of a classifier", "whole"),
  },
  create: (options) => ({
    init: ({ model }) => {
      const chosen = leavesThatTrain(model.spec, options);
      if (chosen.length === 0) {
        throw rangeError(
          "METHOD_DOES_NOT_FIT",
          `Cannot place bitfit: ${model.spec.architecture} has no bias of the chosen kind; use missing: "add"`,
        );
      }
      return freshParams(() =>
        chosen.map(({ path, adds }) => [
          path,
          adds !== undefined && !(lookup(model.weights, path) instanceof Tensor)
            ? zeros(adds, model.backend)
            : trainableCopy(model, path),
        ])
      );
    },
    edits: (params, spec) =>
      leavesThatTrain(spec, options).map(({ path, adds }): WeightEdit => ({
        ...replaceLeaf(path, paramsAt(params, path) as Tensor),
        ...adds && { adds },
      })),
  }),
  cli: { rate: 1e-3, flags: [], head: "classifier" },
  survey: {
    kinds: "S",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "No overhead",
    trainable: "0.05 - 0.1",
    changed: "0.05 - 0.1",
    differs: "a model without biases gets new ones",
  },
  published: { setting: "every bias; zeros where there is none" },
});

/** A trained leaf, with its shape where the checkpoint lacks it. */
interface Trained {
  readonly path: string;
  readonly adds?: readonly number[];
}

function leavesThatTrain(
  spec: Spec,
  { biases, missing, classifier }: Filled<BitfitOptions>,
): readonly Trained[] {
  const bias = (
    place: { readonly path: string; readonly bias: boolean },
    width: number,
  ): readonly Trained[] =>
    place.bias
      ? [{ path: `${place.path}.bias` }]
      : missing === "add"
      ? [{ path: `${place.path}.bias`, adds: [width] }]
      : [];
  const whole = classifier === "whole" ? classifierLeaves(spec) : [];
  const linears = spec.linears.filter((place) =>
    biases === "all" || place.role === "query" || place.role === "up"
  );
  const chosen = [
    ...linears.flatMap((place) => bias(place, place.outFeatures)),
    ...biases === "all"
      ? [
        ...spec.norms.flatMap((place) => bias(place, place.width)),
        ...spec.heads.flatMap((place) => bias(place, place.outFeatures)),
      ]
      : [],
  ];
  return [...chosen.filter(({ path }) => !whole.includes(path)), ...whole.map((path) => ({ path }))];
}

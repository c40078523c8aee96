/**
 * P-tuning v2. Liu, Ji, Fu, Tam, Du, Yang and Tang 2021, "P-Tuning v2: Prompt Tuning Can Be Comparable to Fine-tuning
 * Universally Across Scales and Tasks", arXiv 2110.07602.
 *
 *   K ← [P_K; K]   V ← [P_V; V]   at every attention, trained directly, along with the classifier
 *
 * Prefix tuning with other defaults: no network that generates the rows, dropout on them, positions of the
 * text unchanged; and instead of a verbalizer the classification head is trained as a whole. A language model
 * has no such head.
 */
import {
  compose,
  type DefinedMethod,
  type Method,
  type MethodDefinition,
  nest,
  type PartsOf,
  replaceLeaf,
  type Tensor,
  trainableCopy,
  type Tree,
} from "../../core/mod.ts";
import { option, probability } from "../../core/options/mod.ts";
import { classifierLeaves } from "../shared/classifier.ts";
import { defineComposition } from "../shared/define_composition.ts";
import { rowsSetting } from "../shared/model_sizes.ts";
import { lengthOption } from "./prompt_options.ts";
import { networkOption, positionsOption, prefixTuning, type PrefixTuningOptions } from "./prefix_tuning.ts";

/** Parameters of P-tuning v2. */
export type PTuningV2Parts = PartsOf<{ readonly prefix: Method; readonly head: Method }>;

/** Options of P-tuning v2. */
export interface PTuningV2Options {
  /** n, default 20; the paper's run from 8 for easy tasks to 128. */
  readonly length?: number;
  /** A network that generates the rows, as in prefix tuning, or "none" (default). */
  readonly network?: NonNullable<PrefixTuningOptions["network"]>;
  /** Dropout on the rows in training, default 0.1. */
  readonly dropout?: number;
  /** Whether the prefix shifts the text's positions, default "none". */
  readonly positions?: NonNullable<PrefixTuningOptions["positions"]>;
}

/**
 * P-tuning v2 as a composition, with parameters under `prefix` as those of `prefixTuning`, and under `head` the classifier's
 * leaves by the checkpoint's names.
 *
 * @throws {RangeError} when the length or the network's width is not a positive integer, or dropout is not in
 * [0, 1).
 * @example
 * ```ts
 * import { pTuningV2 } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(pTuningV2({ length: 8 }).name, "compose(prefix, head)");
 * ```
 */
export const pTuningV2: DefinedMethod<PTuningV2Options, PTuningV2Parts> = defineComposition<
  PTuningV2Options,
  PTuningV2Parts
>({
  name: "p-tuning-v2",
  summary: "Puts trained rows before every attention's keys and values, and trains the classifier.",
  facts: { "parameters kept": "2 n d a layer", "parameters trained": "the same" },
  title: "P-tuning v2",
  options: {
    length: lengthOption(20),
    network: networkOption("none"),
    dropout: option(probability, "dropout on the rows in training", 0.1),
    positions: positionsOption("none"),
  },
  create: (options) => compose({ prefix: prefixTuning(options), head: classifier() }),
  cli: { rate: 5e-3, flags: ["length", "dropout"], head: "classifier" },
  published: rowsSetting(8),
});

/** The classification head as a method; nothing where there is none. */
function classifier(): Method {
  return {
    definition: classifierDefinition,
    name: "classifier",
    config: {},
    init: ({ model }) =>
      nest(
        classifierLeaves(model.spec).map((path) => [path, trainableCopy(model, path)] as const),
      ) as Tree,
    edits: (params, spec) => classifierLeaves(spec).map((path) => replaceLeaf(path, leafAt(params, path))),
  };
}

/** The head in records. */
export const classifierDefinition: MethodDefinition = {
  name: "classifier",
  summary: "Trains the classification head alone.",
  options: {},
  wholeModules: true,
  restore: () => classifier(),
};

const leafAt = (params: Tree, path: string): Tensor =>
  path.split(".").reduce<Tree | Tensor>((node, name) => (node as Tree)[name]!, params) as Tensor;

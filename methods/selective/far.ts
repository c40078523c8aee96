/**
 * FAR, freeze and reconfigure. Vucetic et al. 2022, "Efficient Fine-Tuning of BERT Models on the Edge", arXiv 2205.01541.
 *
 *   node j = row j of a feed-forward layer's W [out, in], with its bias        metric ‖w_j − w0_j‖₁ after a short priming
 *   y = W0 x + b0 + scatter(Δ x + β, learners)        Δ [k, in], β [k]        k = the layer's learners
 *
 * Priming trains all feed-forward layers for a few steps (`primedLearners`); in each layer the share of nodes
 * that changed most keeps learning, the rest is frozen and gets no gradient. Δ is the rows' difference, so
 * training is equivalent to that of the rows themselves. The authors split each layer into a frozen and a
 * learning one and permute the outputs back: `reconfigure` (`far_layout.ts`), which computes the same without
 * the extra rows.
 *
 * Implemented from the survey's description alone (no code was found): it does not say which layers besides
 * the feed-forward ones are trained, nor whether priming's updates are kept; here learners keep them by
 * default.
 */
import {
  type Adapter,
  chooseTargets,
  dispose,
  type Edit,
  gatheredRows,
  type Json,
  type LinearPlace,
  type Method,
  type MethodDefinition,
  type Model,
  nest,
  overlay,
  paramsAt,
  type Preparing,
  scope,
  type Spec,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import {
  completed,
  count,
  filled,
  list,
  needed,
  oneOf,
  option,
  record,
  seed,
} from "../../core/options/mod.ts";
import { gatherRows, integers, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { share } from "../shared/number_schemas.ts";
import { denseDeltas } from "./dense_deltas.ts";
import { deltasOf, feedForwardLayers, learnerCount, learnersOf } from "./far_learners.ts";
import { only } from "./full_fine_tune.ts";
import { checkStrictlyIncreasing, scattered } from "./sparse.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of FAR. */
export interface FarOptions {
  /** Ascending indices of the learning nodes by the layer's path. */
  readonly learners: Readonly<Record<string, ArrayLike<number>>>;
  /**
   * Number of outputs of each layer when its learners were found, by its path; layers of other models are
   * then refused.
   */
  readonly outputs?: Readonly<Record<string, number>> | undefined;
}

/**
 * FAR as a method. Parameters under a layer's path: `rows` [k, in], `bias` [k] where the layer has one, `frozen.indices` [k].
 *
 * @throws {RangeError} when no node learns; at init and when grafted, when a path is not a layer, has another
 * number of outputs, or a node does not exist.
 * @example
 * ```ts
 * import { far } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(far({ learners: { "model.layers.0.mlp.up_proj": [0, 5] } }).name, "far");
 * ```
 */
export function far({ learners, outputs }: FarOptions): Method {
  const used = Object.entries(learners).filter(([, nodes]) => nodes.length > 0);
  if (used.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Expected at least one learning node of far but found none");
  }
  return {
    definition: farDefinition,
    name: "far",
    config: {
      learners: Object.fromEntries(used.map(([path, nodes]): [string, Json] => [path, Array.from(nodes)])),
      ...outputs && { outputs },
    },
    init: ({ model }) =>
      freshParams(() =>
        used.flatMap(([path, nodes]) => {
          const { inFeatures, bias } = layerAt(model.spec, path, nodes, outputs?.[path]);
          const k = nodes.length;
          return [
            [`${path}.rows`, zeros([k, inFeatures], model.backend)] as const,
            ...bias ? [[`${path}.bias`, zeros([k], model.backend)] as const] : [],
            [`${path}.frozen.indices`, integers(nodes, model.backend)] as const,
          ];
        })
      ),
    edits: (params, spec) =>
      used.flatMap(([path, nodes]): readonly Edit[] => {
        const { outFeatures, bias } = layerAt(spec, path, nodes, outputs?.[path]);
        const [rows, indices] = [`${path}.rows`, `${path}.frozen.indices`].map((name) =>
          paramsAt(params, name) as Tensor
        ) as [Tensor, Tensor];
        return [
          {
            kind: "linear",
            path,
            changes: rows.size,
            change: { form: "add", map: gatheredRows(rows, indices, outFeatures) },
          },
          ...bias ? [scattered(`${path}.bias`, paramsAt(params, `${path}.bias`) as Tensor, indices)] : [],
        ];
      }),
  };
}

/** How many nodes learn, and how they are found. */
const CHOSEN = {
  retention: option(share, "ρ, the share of each layer's nodes that learn; 0.1 to 0.4 in the paper", 0.2),
  priming: option(share, "share of the steps that prime", 0.05),
  primed: option(oneOf("kept", "reset"), "whether learners start from the primed weights", "kept"),
};

/** What a record has; those of before lack the outputs. */
const RECORDED = {
  learners: needed(record(list(seed)), "the learning nodes by layer's path"),
  outputs: option(record(count), "how many outputs each layer has"),
};

/** `far` in records, and how a run finds the learners. */
export const farDefinition: MethodDefinition = {
  name: "far",
  summary: "Trains only the feed-forward neurons that first move most.",
  facts: { trains: "k (in + 1) a layer", changes: "the same" },
  title: "FAR",
  options: {},
  restore: (config) => far(completed("far", config, RECORDED)),
  recorded: ({ config }, spec) => {
    const paths = Object.keys(config["learners"] as Readonly<Record<string, unknown>>);
    const layers = spec.linears.filter(({ path }) => paths.includes(path));
    return {
      ...config,
      outputs: Object.fromEntries(layers.map(({ path, outFeatures }) => [path, outFeatures])),
    };
  },
  cli: { rate: 1e-4, flags: [], also: CHOSEN, stages: true },
  prepare: async ({ model, options, steps, train }) => {
    const { retention, priming, primed } = filled(options, CHOSEN);
    const most = Math.max(1, Math.round(priming * steps));
    return {
      adapter: await primedLearners(
        model,
        { retention, primed },
        (adapter, stage) => train(adapter, { ...stage, steps: most }),
      ),
    };
  },
  plan: ({ model }) =>
    only({ parameters: feedForwardLayers(model.spec).map(({ path }) => `${path}.weight`) }),
  survey: {
    kinds: "S",
    storage: "yes",
    memory: "maybe",
    backward: "no",
    overhead: "No overhead",
    trainable: "6.6 - 26.4",
    changed: "6.6 - 26.4",
    differs: "the optimizer's state follows the learners; which other layers the paper trains is not known",
  },
  published: {
    setting: "10 % of the nodes",
    make: ({ spec }) =>
      far({
        learners: Object.fromEntries(
          feedForwardLayers(spec).map((place) =>
            [place.path, Int32Array.from({ length: learnerCount(place, 0.1) }, (_, j) => j)] as const
          ),
        ),
      }),
  },
};

/** How learners are found. */
export interface PrimingOptions {
  /** ρ, the share of each layer's nodes that learn; 0.1 to 0.4 in the paper. */
  readonly retention: number;
  /** Whether learners start from the primed weights ("kept", default) or the pretrained ones ("reset"). */
  readonly primed?: "kept" | "reset";
}

/** Priming: all feed-forward layers train, and the nodes that changed most are the learners. The caller owns the result. */
export async function primedLearners(
  model: Model,
  { retention, primed = "kept" }: PrimingOptions,
  train: Preparing["train"],
): Promise<Adapter> {
  const layers = feedForwardLayers(model.spec);
  if (layers.length === 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot place far on ${model.spec.architecture}: it has no feed-forward layers`,
    );
  }
  layers.forEach((place) => learnerCount(place, retention));
  const paths = layers.flatMap(({ path, bias }) =>
    bias ? [`${path}.weight`, `${path}.bias`] : [`${path}.weight`]
  );
  const method = denseDeltas("farPriming", { paths, whole: [] });
  const moved = await train({ method, params: method.init({ model, key: 0 }) }, { name: "priming" });
  return await learnersOf(moved.params, layers, (place) => learnerCount(place, retention))
    .then((chosen) => startOf(model, layers, chosen, moved.params, primed))
    .finally(() => dispose(moved.params));
}

function startOf(
  model: Model,
  layers: readonly LinearPlace[],
  learners: Readonly<Record<string, Int32Array>>,
  deltas: Tree,
  primed: "kept" | "reset",
): Adapter {
  const outputs = Object.fromEntries(layers.map(({ path, outFeatures }) => [path, outFeatures]));
  const method = far({ learners, outputs });
  return {
    method,
    params: scope((): Synchronous<Tree> => {
      const fresh = method.init({ model, key: 0 });
      if (primed === "reset") return fresh as Synchronous<Tree>;
      const kept = layers.flatMap((place) => {
        const at = integers(learners[place.path]!, model.backend);
        const { weight, bias } = deltasOf(deltas, place);
        return [
          [`${place.path}.rows`, gatherRows(weight, at)] as const,
          ...bias ? [[`${place.path}.bias`, gatherRows(bias, at)] as const] : [],
        ];
      });
      return overlay(fresh, nest(kept) as Tree) as Synchronous<Tree>;
    }),
  };
}

function layerAt(
  spec: Spec,
  path: string,
  nodes: ArrayLike<number>,
  outputs: number | undefined,
): LinearPlace {
  const [found] = chooseTargets(spec, { targets: (place) => place.kind === "linear" && place.path === path });
  const place = found as LinearPlace;
  if (outputs !== undefined && outputs !== place.outFeatures) {
    throw rangeError(
      "ADAPTER_MISMATCH",
      `Cannot use the learners of far on this model: "${path}" had ${outputs} outputs where they were found and has ` +
        `${place.outFeatures} here`,
    );
  }
  checkStrictlyIncreasing(`learning nodes of far for "${path}"`, nodes, place.outFeatures);
  return place;
}

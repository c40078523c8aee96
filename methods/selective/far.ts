/**
 * FAR, freeze and reconfigure. Vucetic et al. 2022, "Efficient Fine-Tuning of BERT Models on the Edge", arXiv 2205.01541.
 *
 *   node j = row j of a feed-forward layer's W [out, in], with its bias        metric ‖w_j − w0_j‖₁ after a short priming
 *   y = W0 x + b0 + scatter(Δ x + β, learners)        Δ [k, in], β [k]        k = the layer's learners
 *
 * Priming trains all feed-forward layers for a few steps (`recipes/far.ts`); in each layer the share of nodes
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
  chooseTargets,
  type Edit,
  gatheredRows,
  type Json,
  type LinearPlace,
  type Method,
  paramsAt,
  type Spec,
  type Tensor,
} from "../../core/mod.ts";
import { integers, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkStrictlyIncreasing, scattered } from "./sparse.ts";

/** Options of FAR. */
export interface FarOptions {
  /** Ascending indices of the learning nodes by the layer's path. */
  readonly learners: Readonly<Record<string, ArrayLike<number>>>;
  /**
   * Number of outputs of each layer when its learners were found, by its path; layers of other models are
   * then refused.
   */
  readonly outputs?: Readonly<Record<string, number>>;
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
  if (used.length === 0) throw new RangeError("Expected at least one learning node of far but found none");
  return {
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

/**
 * The feed-forward layers of a model.
 *
 * @example
 * ```ts
 * import { feedForwardLayers, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const names = feedForwardLayers(spec).map(({ path }) => path.split(".").at(-1));
 * assert.deepEqual(names.slice(0, 3), ["gate_proj", "up_proj", "down_proj"]);
 * ```
 */
export function feedForwardLayers(spec: Spec): readonly LinearPlace[] {
  return spec.linears.filter(({ role, layer }) =>
    layer !== undefined && (role === "gate" || role === "up" || role === "down")
  );
}

/**
 * The number of learning nodes of a layer: the share of its outputs, rounded.
 *
 * @throws {RangeError} when the share is out of range.
 * @example
 * ```ts
 * import { learnerCount } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.equal(learnerCount({ path: "up_proj", outFeatures: 3072 }, 0.1), 307);
 * ```
 */
export function learnerCount(
  { path, outFeatures }: Pick<LinearPlace, "path" | "outFeatures">,
  retention: number,
): number {
  if (!(retention > 0 && retention <= 1)) {
    throw new RangeError(`Expected retention above 0 and up to 1 but found ${retention}`);
  }
  const count = Math.round(retention * outFeatures);
  if (count < 1) {
    throw new RangeError(
      `Expected retention to leave at least one of the ${outFeatures} nodes of "${path}" but found ${retention}`,
    );
  }
  return count;
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
    throw new RangeError(
      `Cannot use the learners of far on this model: "${path}" had ${outputs} outputs where they were found and has ` +
        `${place.outFeatures} here`,
    );
  }
  checkStrictlyIncreasing(`learning nodes of far for "${path}"`, nodes, place.outFeatures);
  return place;
}

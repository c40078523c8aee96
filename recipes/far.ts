/**
 * FAR's priming (arXiv 2205.01541): a few steps on all feed-forward layers, after which the nodes that
 * changed most keep learning and the others are reset.
 */
import {
  type Adapter,
  dispose,
  type LinearPlace,
  lookup,
  type Model,
  nest,
  overlay,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../core/mod.ts";
import { denseDeltas } from "../methods/selective/dense_deltas.ts";
import { far, feedForwardLayers, learnerCount } from "../methods/selective/far.ts";
import { abs, add, gatherRows, integers, largest, sum, transpose } from "../ops/mod.ts";
import type { Rows } from "../train/mod.ts";
import { type StageOptions, trainStage } from "./stage.ts";

/** Options of priming and fine-tuning. */
export interface FarRecipe {
  /** ρ, the share of each layer's nodes that learn; 0.1 to 0.4 in the paper. */
  readonly retention: number;
  /** Priming: a few percent of the total steps. */
  readonly priming: StageOptions;
  /** Fine-tuning of the learners after priming. */
  readonly learning: StageOptions;
  /** Whether learners start from the primed weights ("kept", default) or the pretrained ones ("reset"). */
  readonly primed?: "kept" | "reset";
}

/**
 * Trains by FAR. The caller owns the result.
 *
 * @example
 * ```ts
 * import { freshModel, leaves, reference, smallConfig, trainFar } from "@graft/peft";
 * import { rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama", { layers: 1, inner: 32 }), { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3], labels: [1, 2, 3] }]);
 * const stage = { learningRate: 1e-3, batching: { kind: "buckets", batchSize: 1 }, pad: 0 } as const;
 * const adapter = await trainFar(model, rows, { retention: 0.25, priming: stage, learning: stage });
 * const rowsOfUp = leaves(adapter.params).find(([path]) => path.endsWith("up_proj.rows"))![1];
 * assert.deepEqual(rowsOfUp.shape, [8, 16]); // a quarter of its 32 nodes
 * ```
 */
export async function trainFar(model: Model, rows: Rows, recipe: FarRecipe): Promise<Adapter> {
  const layers = feedForwardLayers(model.spec);
  if (layers.length === 0) {
    throw new RangeError(`Cannot place far on ${model.spec.architecture}: it has no feed-forward layers`);
  }
  layers.forEach((place) => learnerCount(place, recipe.retention));
  const paths = layers.flatMap(({ path, bias }) =>
    bias ? [`${path}.weight`, `${path}.bias`] : [`${path}.weight`]
  );
  const method = denseDeltas("farPriming", { paths, whole: [] });
  const params = method.init({ model, key: 0 });
  const primed = await trainStage(model, { method, params }, rows, recipe.priming);
  const start = await learnersOf(primed.params, layers, recipe.retention)
    .then((chosen) => startOf(model, layers, chosen, primed.params, recipe.primed ?? "kept"))
    .finally(() => dispose(primed.params));
  return await trainStage(model, start, rows, recipe.learning);
}

/**
 * The nodes of each layer that changed most: ‖w_j − w0_j‖₁ over a row and its bias.
 *
 * @example
 * ```ts
 * import { reference, tensor } from "@graft/peft";
 * import { learnersOf } from "@graft/peft/recipes";
 * import assert from "node:assert/strict";
 * const delta = tensor([[0, 0], [9, 0], [1, -1], [0, 5]], { backend: reference() }); // [out, in]
 * const place = {
 *   kind: "linear", path: "up", stack: "decoder", role: "up", inFeatures: 2, outFeatures: 4, bias: false, transposed: false,
 * } as const;
 * const { up } = await learnersOf({ up: { weight: { delta } } }, [place], 0.5);
 * assert.deepEqual([...up!], [1, 3]);
 * ```
 */
export async function learnersOf(
  deltas: Tree,
  layers: readonly LinearPlace[],
  retention: number,
): Promise<Readonly<Record<string, Int32Array>>> {
  const found: (readonly [string, Int32Array])[] = [];
  for (const place of layers) {
    const distance = scope((): Synchronous<Tensor> => {
      const { weight, bias } = deltasOf(deltas, place);
      const rows = sum(abs(weight), { axis: 1 }); // [out]
      return bias === undefined ? rows : add(rows, abs(bias));
    });
    const [nodes] = await largest([distance], learnerCount(place, retention));
    dispose(distance);
    found.push([place.path, nodes!]);
  }
  return Object.fromEntries(found);
}

/** A layer's differences, with the matrix as [out, in] regardless of its layout. */
function deltasOf(
  deltas: Tree,
  { path, transposed, bias }: LinearPlace,
): { readonly weight: Tensor; readonly bias?: Tensor } {
  const weight = lookup(deltas, `${path}.weight.delta`) as Tensor;
  return {
    weight: transposed ? transpose(weight) : weight,
    ...bias && { bias: lookup(deltas, `${path}.bias.delta`) as Tensor },
  };
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

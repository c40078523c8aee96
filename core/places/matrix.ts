/** The matrix at a place of a model, for methods whose initialization depends on the weights they change. */
import type { Tensor } from "../../tensor/mod.ts";
import { foldLinear } from "../edits/fold.ts";
import { bareLayer, tableLayer } from "../edits/layer.ts";
import { dense } from "../linear_maps/linear_map.ts";
import type { Model } from "../trees/model.ts";
import { bareLayerAt } from "./linear.ts";
import { optionalWeight, weight } from "./weight.ts";
import type { MatrixPlace } from "../edits/targets.ts";
import { editsAt, into, rootOf } from "../trees/weights.ts";

/**
 * The matrix [out, in] in f32, with the edits grafted there; for an embedding, the transposed table. May
 * share the base's storage: only read it, do not free it.
 *
 * @throws {TypeError} when an edit there has no weight form.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { matrixAt } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const place = model.spec.linears.find(({ path }) => path === "model.layers.0.mlp.up_proj")!;
 * assert.deepEqual(matrixAt(model, place).shape, [32, 16]); // [out, in]
 * ```
 */
export function matrixAt(model: Model, place: MatrixPlace): Tensor {
  const root = rootOf(model.weights);
  const site = into(root, ...place.path.split("."));
  const bare = () => {
    switch (place.kind) {
      case "linear":
        return bareLayerAt(site, place.transposed);
      case "embedding":
        return tableLayer(weight(site, "weight"));
      case "head":
        return bareLayer(
          dense(optionalWeight(site, "weight") ?? weight(into(root, ...place.tiedTo!.split(".")), "weight")),
          undefined,
        );
    }
  };
  return editsAt(site.branch, "linear")
    .reduce((layer, edit) => foldLinear(layer, edit, undefined), bare())
    .weight();
}

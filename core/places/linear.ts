/** Linear layers, tables and heads, with the edits at them. */
import { isQuantized, type Tensor } from "../../tensor/mod.ts";
import type { LinearEdit, PassCall } from "../edits/edit.ts";
import { foldLinear } from "../edits/fold.ts";
import { bareLayer, type Layer, tableLayer } from "../edits/layer.ts";
import { decoded, dense, type DenseOptions } from "../linear_maps/linear_map.ts";
import { atPlace } from "../trees/edit_checks.ts";
import { callAt, keyed, type Pass } from "./pass.ts";
import { editsAt, type Site } from "../trees/weights.ts";
import { hidden } from "./hidden.ts";
import { optionalWeight, weight } from "./weight.ts";

/**
 * The linear layer at a site with its weight edits, before its linear edits.
 *
 * @example
 * ```ts
 * import { into, read, reference, rootOf, tensor, weightTree } from "@graft/peft";
 * import { bareLayerAt } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const site = into(rootOf(weightTree([["q.weight", tensor([[1, 2]], { backend: reference() })]])), "q");
 * assert.deepEqual([...await read(bareLayerAt(site, false).weight())], [1, 2]);
 * ```
 */
export function bareLayerAt(site: Site, transposed: boolean): Layer {
  const bias = optionalWeight(site, "bias");
  const matrix = weight(site, "weight", transposed);
  const inOut = transposed && !isQuantized(matrix.dtype); // quantized matrices are [out, in]
  return bareLayer(dense(matrix, inOut, roundingOf(site)), bias === undefined ? undefined : decoded(bias));
}

const roundingOf = ({ pass }: Site): DenseOptions => ({ roundInputs: pass?.roundInputs ?? false });

function foldEdits(layer: Layer, edits: readonly LinearEdit[], call: PassCall): Layer {
  return edits.reduce((l, edit, i) => foldLinear(l, edit, keyed(call, "linear", i)), layer);
}

/**
 * y = W x + b at a site, with its edits. Set `transposed` when the matrix is stored [in, out].
 *
 * @example
 * ```ts
 * import { freshModel, into, reference, rootOf, smallConfig } from "@graft/peft";
 * import { linear } from "@graft/peft/core";
 * import { barePass } from "@graft/peft/models";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const site = into(rootOf(model.weights), "model", "layers", 0, "mlp", "up_proj");
 * const y = linear(barePass(model, {}), site, ones([1, 3, 16], model.backend));
 * assert.deepEqual(y.shape, [1, 3, 32]); // [b, t, out]
 * ```
 */
export function linear(pass: Pass, site: Site, x: Tensor, transposed = false): Tensor {
  return atPlace(
    site.path,
    () =>
      foldEdits(bareLayerAt(site, transposed), editsAt(site.branch, "linear"), callAt(pass, site.path)).apply(
        x,
      ),
  );
}

/**
 * Rows of the table at a site for i32 ids, with its edits.
 *
 * @example
 * ```ts
 * import { freshModel, into, reference, rootOf, smallConfig, tensor } from "@graft/peft";
 * import { embedding } from "@graft/peft/core";
 * import { barePass } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const site = into(rootOf(model.weights), "model", "embed_tokens");
 * const ids = tensor([[1, 2, 3]], { backend: model.backend, dtype: "i32" });
 * assert.deepEqual(embedding(barePass(model, {}), site, ids).shape, [1, 3, 16]); // [b, t, d]
 * ```
 */
export function embedding(pass: Pass, site: Site, ids: Tensor): Tensor {
  const call = callAt(pass, site.path);
  const rows = foldEdits(tableLayer(weight(site, "weight")), editsAt(site.branch, "linear"), call).columns(
    ids,
  );
  return hidden(pass, site, { x: rows, skip: undefined }, rows);
}

/**
 * The head, with a tied embedding's matrix or its own, and the edits at the head's site.
 *
 * @example
 * ```ts
 * import { freshModel, into, reference, rootOf, smallConfig } from "@graft/peft";
 * import { head, weight } from "@graft/peft/core";
 * import { barePass } from "@graft/peft/models";
 * import { ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const root = rootOf(model.weights);
 * const matrix = weight(into(root, "model", "embed_tokens"), "weight"); // tied
 * const x = ones([1, 3, 16], model.backend);
 * const logits = head(barePass(model, {}), into(root, "lm_head"), matrix, undefined, x);
 * assert.deepEqual(logits.shape, [1, 3, 32]); // [b, t, v]
 * ```
 */
export function head(pass: Pass, site: Site, matrix: Tensor, bias: Tensor | undefined, x: Tensor): Tensor {
  const layer = bareLayer(
    dense(matrix, false, roundingOf(site)),
    bias === undefined ? undefined : decoded(bias),
  );
  return foldEdits(layer, editsAt(site.branch, "linear"), callAt(pass, site.path)).apply(x);
}

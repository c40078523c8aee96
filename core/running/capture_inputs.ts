/** Observing a model's activations, for methods whose initialization depends on them. */
import { scope, type Tensor } from "../../tensor/mod.ts";
import { zeros } from "../../ops/mod.ts";
import { fn, type LinearEdit } from "../edits/edit.ts";
import { withEdits } from "../adapters/graft.ts";
import type { Batch, Model } from "../trees/model.ts";

/**
 * Runs a batch in evaluation mode and shows `see` the input [b, t, in] of each linear layer or head at the
 * paths, in the order of the pass. Layers that read the same tensor are shown the same handle. It is freed
 * after the pass: `see` keeps what it derives from it in a root.
 *
 * @throws {RangeError} when the model has no layer at a path.
 * @example
 * ```ts
 * import { freshModel, captureInputs, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const shapes: string[] = [];
 * captureInputs(model, { inputIds: [[1, 2, 3]] }, ["model.layers.1.mlp.down_proj"], (path, x) => {
 *   shapes.push(`${path} [${x.shape}]`);
 * });
 * assert.deepEqual(shapes, ["model.layers.1.mlp.down_proj [1,3,32]"]);
 * ```
 */
export function captureInputs(
  model: Model,
  batch: Batch,
  paths: readonly string[],
  see: (path: string, x: Tensor) => void,
): void {
  const edits = paths.map((path): LinearEdit => ({
    kind: "linear",
    path,
    change: {
      form: "delta",
      reads: "input",
      delta: fn({}, (_, { x, y }) => {
        see(path, x);
        return zeros(y.shape, y.backend);
      }),
    },
  }));
  const watched = { ...model, weights: withEdits(model.weights, edits, "captureInputs") };
  scope((): undefined => {
    const { states } = model.architecture.states(watched, batch, {});
    // The logits of all tokens are by far the largest product of a pass, so they are computed only when a
    // head is observed.
    if (model.spec.heads.some((head) => paths.includes(head.path))) {
      model.architecture.head(watched, states, {});
    }
  });
}

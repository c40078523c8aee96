/** `count`: how large an adapter is, by every measure the literature uses. */
import { leaves, Tensor, tensorsIn, trainable, type Tree } from "../../tensor/mod.ts";
import type { Edit } from "../edits/edit.ts";
import type { Adapter } from "./method.ts";
import type { Model } from "../trees/model.ts";
import { lookup, weightLeaves } from "../trees/weights.ts";

/** Parameter counts. Papers differ in which count they quote, and relative to which total. */
export interface Counts {
  /** Parameters of the base model; tied weights count once. */
  readonly base: number;
  /** New parameters that the adapted model computes with. */
  readonly added: number;
  /** Parameters that training updates. */
  readonly trainable: number;
  /** Base parameters whose effective value differs after training. */
  readonly changed: number;
  /** Parameters that an adapter folder must store. */
  readonly stored: number;
}

/**
 * Counts an adapter's parameters on a model, from shapes alone.
 *
 * @example
 * ```ts
 * import { adapt, count, freshModel, lora, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { added, trainable } = count(model, adapt(model, lora({ rank: 4 })));
 * assert.equal(trainable, 2 * 2 * 4 * (16 + 16)); // q and v in two layers
 * assert.equal(added, trainable);
 * ```
 */
export function count<P extends Tree>(model: Model, adapter: Adapter<P>): Counts {
  const edits = adapter.method.edits(adapter.params, model.spec);
  const replacing = new Set(
    edits.flatMap((e) =>
      e.kind === "weight" && lookup(model.weights, e.path) !== undefined ? tensorsIn(e.map.params) : []
    ).map((t) => t.storage),
  );
  const total = (parts: readonly (readonly [string, Tensor])[]): number =>
    parts.reduce((n, [, t]) => n + t.size, 0);
  const params = leaves(adapter.params);
  return {
    base: [...new Set(weightLeaves(model.weights).map(([, leaf]) => leaf))].reduce(
      (n, leaf) => n + leaf.size,
      0,
    ),
    added: total(params.filter(([, t]) => !replacing.has(t.storage))),
    trainable: total(leaves(trainable(adapter.params))),
    changed: changedIn(model, edits),
    stored: total(params),
  };
}

function changedIn(model: Model, edits: readonly Edit[]): number {
  const changed = new Map<string, number>();
  const touch = (path: string, n?: number): void => {
    const leaf = lookup(model.weights, path);
    if (leaf instanceof Tensor) changed.set(path, Math.max(changed.get(path) ?? 0, n ?? leaf.size));
  };
  for (const edit of edits) {
    if (edit.kind === "weight") touch(edit.path, edit.changes);
    if (edit.kind === "linear") {
      // A difference that depends on the input, as with a gate, cannot be stored in a weight.
      const held = edit.change.form !== "delta" || edit.change.weight !== undefined;
      if (held && edit.change.form !== "bias") {
        touch(`${edit.path}.weight`, edit.changes ?? partOf(model, edit.path, edit.out));
      }
      const { change } = edit;
      const scales = change.form === "scale" && change.out !== undefined;
      const shifts = change.form === "delta" && change.bias !== undefined;
      if (change.form === "bias" || change.form === "output" || scales || shifts) {
        touch(`${edit.path}.bias`);
      }
    }
  }
  return [...changed.values()].reduce((a, b) => a + b, 0);
}

/** Number of elements of a fused matrix in a range of its outputs. */
function partOf(model: Model, path: string, out: readonly [number, number] | undefined): number | undefined {
  const place = model.spec.linears.find((place) => place.path === path);
  return out === undefined || place === undefined ? undefined : (out[1] - out[0]) * place.inFeatures;
}

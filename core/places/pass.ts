/**
 * The state of a forward pass, and what edits see of it. The helpers of `places/` run the base and then the
 * edits at a place.
 */
import { fold, key as keyOf, type Tensor } from "../../tensor/mod.ts";
import type { Edit, PassCall } from "../edits/edit.ts";
import type { Cache, ForwardOptions } from "../trees/model.ts";
import type { WeightPass } from "../trees/weights.ts";

/** The state of one forward pass. The maps are local to it and filled as it proceeds. */
export interface Pass extends PassCall {
  /** Cache of the preceding tokens. */
  readonly cache: Cache | undefined;
  /** Keys and values computed so far in this pass, including cached ones. */
  readonly keep: Map<string, { readonly k: Tensor; readonly v: Tensor }> | undefined;
  /** Block outputs, when a side network reads them. */
  readonly taps: Map<number, Tensor> | undefined;
  /** f32, added to attention scores: separates packed texts. */
  readonly bias: Tensor | undefined;
}

/**
 * What weight edits may know about a pass with these options.
 *
 * @example
 * ```ts
 * import { key, weightPass } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.deepEqual(weightPass({ train: true, key: 3 }), { train: true, key: key(3) });
 * assert.deepEqual(weightPass({}), { train: false });
 * ```
 */
export function weightPass({ train = false, key, roundInputs = false }: ForwardOptions): WeightPass {
  return { train, ...key !== undefined && { key: keyOf(key) }, ...roundInputs && { roundInputs } };
}

/**
 * What an edit at a path sees of the pass, with a key of its own.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { callAt } from "@graft/peft/core";
 * import { barePass } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const pass = barePass(model, { train: true, key: 0 });
 * assert.notDeepEqual(callAt(pass, "a").key, callAt(pass, "b").key); // a place's dropout is its own
 * ```
 */
export function callAt(pass: Pass, path: string): PassCall {
  return { ...pass, key: pass.key === undefined ? undefined : fold(pass.key, path) };
}

/**
 * What the i-th edit of a kind sees: each edit draws from its own key, so that two at one place do not share
 * a random stream.
 */
export function keyed(call: PassCall, kind: Edit["kind"], i: number): PassCall {
  return call.key === undefined ? call : { ...call, key: fold(fold(call.key, kind), i) };
}

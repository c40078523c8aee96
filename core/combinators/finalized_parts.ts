/** What remains after training of the parts of a combination. */
import type { Method } from "../adapters/method.ts";
import type { Spec } from "../edits/place.ts";
import type { Tree } from "../../tensor/mod.ts";

/** Methods and their parameters, keyed by the part's name. */
export interface FinalizedParts {
  /** The finalized method of each part. */
  readonly methods: Readonly<Record<string, Method>>;
  /** Its parameters. */
  readonly params: Readonly<Record<string, Tree>>;
}

/**
 * Finalizes every part; a part without `finalize` stays as it is.
 *
 * @param params The parameters of each part under its name.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, reference, finalizedParts, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { method, params } = adapt(model, lora({ rank: 2 }));
 * const parts = finalizedParts({ low: method }, { low: params }, model.spec);
 * assert.equal(parts.methods["low"], method); // LoRA is what it was
 * ```
 */
export function finalizedParts(
  methods: Readonly<Record<string, Method>>,
  params: Tree,
  spec: Spec,
): FinalizedParts {
  const finalized = Object.entries(methods).map(([name, method]) => {
    const own = params[name] as Tree;
    return [name, method.finalize?.(own, spec) ?? { method, params: own }] as const;
  });
  return {
    methods: Object.fromEntries(finalized.map(([name, { method }]) => [name, method])),
    params: Object.fromEntries(finalized.map(([name, { params }]) => [name, params])),
  };
}

/** A pass outside the stack, for heads: without cache and mask, with its own key. */
import { fold, type ForwardOptions, key, type Model, type Pass } from "../core/mod.ts";
import { integers } from "../ops/mod.ts";
import { rangeError } from "../errors/error.ts";

/**
 * See the module comment.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { barePass } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const pass = barePass(freshModel(smallConfig("llama"), { backend: reference(), key: 0 }), { train: false });
 * assert.equal(pass.phase, "prompt");
 * assert.equal(pass.cache, undefined);
 * ```
 */
export function barePass(model: Model, options: ForwardOptions): Pass {
  return {
    train: options.train ?? false,
    key: options.key === undefined ? undefined : fold(key(options.key), "head"),
    phase: options.train ? "train" : "prompt",
    ids: integers([], model.backend),
    mask: undefined,
    bias: undefined,
    cache: undefined,
    keep: undefined,
    taps: undefined,
    signal: (name) => {
      throw rangeError("METHOD_DOES_NOT_FIT", `The signal "${name}" is not known at the head`);
    },
  };
}

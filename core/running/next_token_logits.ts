/** One pass of generation. */
import { reshape, slice } from "../../ops/mod.ts";
import type { Batch, Cache, ForwardOptions, Model } from "../trees/model.ts";
import type { Tensor } from "../../tensor/mod.ts";
import { typeError } from "../../errors/error.ts";

/**
 * Scores [b, v] of the token that follows each row, and the cache to continue from: one pass, with the head
 * computed for each row's last token alone. Run it in a scope.
 *
 * @throws {TypeError} when the architecture has no cache.
 */
export function nextTokenLogits(
  model: Model,
  batch: Batch,
  options: ForwardOptions = {},
): { readonly result: Tensor; readonly cache: Cache } {
  const { states, cache } = model.architecture.states(model, batch, { ...options, keepCache: true });
  const [b, t, d] = states.shape as [number, number, number];
  const last = reshape(slice(states, 1, t - 1, t), [b, d]);
  if (cache === undefined) {
    throw typeError(
      "MODEL_UNSUPPORTED",
      `Cannot generate with ${model.architecture.name}: it keeps no cache`,
    );
  }
  return { result: model.architecture.head(model, last, options), cache };
}

/** What generation refuses before it begins. */
import { checkSampler, type Sampler } from "../../ops/mod.ts";
import { rangeError, typeError } from "../../errors/error.ts";
import type { Model } from "../trees/model.ts";

/**
 * @throws {TypeError} when the model writes no text.
 * @throws {RangeError} when a prompt is empty, there is none, or an option is out of range.
 */
export function checkGeneration(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: { readonly maxNewTokens: number; readonly sampler?: Sampler },
): void {
  if (!model.spec.stacks.some((place) => place.stack === "decoder")) {
    throw typeError(
      "MODEL_UNSUPPORTED",
      `Cannot generate with ${model.architecture.name}: it has no decoder`,
    );
  }
  const { maxNewTokens } = options;
  if (!(Number.isInteger(maxNewTokens) && maxNewTokens >= 0)) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected maxNewTokens to be an integer of at least 0 but found ${maxNewTokens}`,
    );
  }
  if (options.sampler !== undefined) checkSampler(options.sampler);
  if (prompts.length === 0) throw rangeError("INVALID_BATCH", "Expected at least one prompt but found none");
  const empty = prompts.findIndex((row) => row.length === 0);
  if (empty >= 0) {
    throw rangeError(
      "INVALID_BATCH",
      `Expected at least one token in prompt ${empty} but found none: begin with a token such as the one for begin of text`,
    );
  }
}

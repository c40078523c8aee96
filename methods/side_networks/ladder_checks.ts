/** What a model and the options must hold for ladder side-tuning. */
import type { Spec } from "../../core/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** `layers` names at least one block, and only blocks that a stack has. */
export function checkLayers({ stacks }: Spec, layers: readonly number[] | undefined): void {
  if (layers === undefined) return;
  if (layers.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Expected layers to name at least one block but found none");
  }
  const most = Math.max(...stacks.map((stack) => stack.layers)) - 1;
  const odd = layers.find((i) => !(Number.isInteger(i) && i >= 0 && i <= most));
  if (odd !== undefined) {
    throw rangeError("INVALID_ARGUMENT", `Expected layers from 0 to ${most} but found ${odd}`);
  }
}

/** Every block of every stack is among the places of the spec. */
export function checkPlaces({ architecture, stacks, blocks }: Spec): void {
  const where = `Cannot place ladder-side-tuning on ${architecture}`;
  if (stacks.length === 0) throw rangeError("INVALID_ARGUMENT", `${where}: it needs a stack but found none`);
  for (const { stack, path, layers } of stacks) {
    const lacks = Array.from({ length: layers }, (_, i) => i)
      .find((i) => !blocks.some((place) => place.stack === stack && place.layer === i));
    if (lacks !== undefined) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `${where}: block ${lacks} of the stack "${path}" is not among its places; option layers chooses blocks`,
      );
    }
  }
}

/** Rotary embeddings rotate pairs, so head sizes must stay even. */
export function checkSizes(spec: Spec, reduction: number): void {
  for (const { width } of spec.stacks) {
    if (width % reduction !== 0) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected reduction to divide the width ${width} but found ${reduction}`,
      );
    }
  }
  for (const { headDim, path } of spec.attentions) {
    if (headDim % (2 * reduction) !== 0) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot divide the heads at "${path}" by ${reduction}: their size ${headDim} must stay an even integer`,
      );
    }
  }
}

/** Which places of a model a combination is limited to: as data, so that a file can hold it, or as a predicate. */
import type { Place, Spec, Stack } from "./place.ts";
import { matchesWhole } from "./patterns.ts";
import { nameMatches } from "./targets.ts";
import { typeError } from "../../errors/error.ts";

/** Places of a model, as JSON. */
export type PlaceSelector =
  /** Blocks `from` up to `to`, exclusive, by default to the end; of one stack where a model has two. */
  | { readonly layers: readonly [from: number, to?: number]; readonly stack?: Stack }
  /** Places of some kinds: "linear", "attention", "norm", … */
  | { readonly kinds: readonly Place["kind"][] }
  /** Places by path, or its end after a dot. */
  | { readonly names: readonly string[] }
  /** Places whose whole path a regular expression matches. */
  | { readonly matching: string }
  /** Places that all of several select. */
  | { readonly all: readonly PlaceSelector[] }
  /** Places that any of several selects. */
  | { readonly any: readonly PlaceSelector[] }
  /** Places that another does not select. */
  | { readonly not: PlaceSelector };

/** A selector, or a predicate, which no file can hold. */
export type PlaceChoice = PlaceSelector | ((place: Place) => boolean);

/**
 * Selector: blocks `from` up to `to` (exclusive; default: to the end). For a model with two stacks, give
 * `stack`.
 *
 * @example
 * ```ts
 * import { layers } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual(layers(6, 12), { layers: [6, 12] });
 * ```
 */
export function layers(from: number, to?: number, stack?: Stack): PlaceSelector {
  return {
    layers: to === undefined || to === Infinity ? [from] : [from, to],
    ...stack !== undefined && { stack },
  };
}

/**
 * The predicate that a selector describes.
 *
 * @throws {TypeError} when it is neither a selector nor a function.
 * @example
 * ```ts
 * import { layers, selects } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const upper = selects({ all: [layers(1), { kinds: ["block"] }] });
 * assert.ok(upper({ kind: "block", path: "h.1", stack: "decoder", layer: 1, width: 8 }));
 * assert.ok(!upper({ kind: "block", path: "h.0", stack: "decoder", layer: 0, width: 8 }));
 * ```
 */
export function selects(choice: PlaceChoice): (place: Place) => boolean {
  if (typeof choice === "function") return choice;
  if ("layers" in choice) {
    const { layers: [from, to = Infinity], stack } = choice;
    return (place) =>
      place.layer !== undefined && place.layer >= from && place.layer < to &&
      (stack === undefined || place.stack === stack);
  }
  if ("kinds" in choice) return ({ kind }) => choice.kinds.includes(kind);
  if ("names" in choice) return ({ path }) => choice.names.some((name) => nameMatches(name, path));
  if ("matching" in choice) {
    const pattern = new RegExp(choice.matching);
    return ({ path }) => matchesWhole(pattern, path);
  }
  if ("all" in choice) {
    const all = choice.all.map(selects);
    return (place) => all.every((one) => one(place));
  }
  if ("any" in choice) {
    const all = choice.any.map(selects);
    return (place) => all.some((one) => one(place));
  }
  if ("not" in choice) {
    const one = selects(choice.not);
    return (place) => !one(place);
  }
  throw typeError(
    "INVALID_ARGUMENT",
    `Expected a selector of places, such as { "layers": [0, 6] }, but found ${JSON.stringify(choice)}`,
  );
}

/**
 * The spec with only the places that a selector selects.
 *
 * @example
 * ```ts
 * import { freshModel, layers, narrow, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const upper = narrow(spec, layers(1));
 * assert.equal(upper.linears.length, spec.linears.length / 2);
 * assert.equal(upper.embeddings.length, 0); // an embedding is in no layer
 * ```
 */
export function narrow(spec: Spec, choice: PlaceChoice): Spec {
  const chosen = selects(choice);
  return {
    architecture: spec.architecture,
    linears: spec.linears.filter(chosen),
    attentions: spec.attentions.filter(chosen),
    sublayers: spec.sublayers.filter(chosen),
    blocks: spec.blocks.filter(chosen),
    norms: spec.norms.filter(chosen),
    embeddings: spec.embeddings.filter(chosen),
    heads: spec.heads.filter(chosen),
    stacks: spec.stacks.filter(chosen),
  };
}

/** The methods of the comparison table, each with the settings of its literature, as its definition has them. */
import type { Method, MethodDefinition, Model, Published } from "../core/mod.ts";
import { type KnownMethods, knownMethods } from "../io/records/known_methods.ts";
import { contextLength } from "../models/mod.ts";

/** A method with the settings of its literature. */
export interface PublishedMethod {
  readonly definition: MethodDefinition;
  /** Its name. */
  readonly name: string;
  /** The sizes used in its literature, or the nearest that fit the model. */
  setting(model: Model): string;
  /** The method for a model; tensors it is made of are on the model's backend and must be freed by the caller. */
  make(model: Model): Method;
  /** The method that remains after training, where that is a different one. */
  kept?(model: Model): Method;
  /** What the literature trains along with it. */
  readonly beside?: Method;
}

/** Every method with such a setting. */
export function publishedMethods(known: KnownMethods = knownMethods()): readonly PublishedMethod[] {
  return known.all.flatMap((definition) =>
    definition.published === undefined ? [] : [publishedMethod(definition, definition.published)]
  );
}

function publishedMethod(definition: MethodDefinition, published: Published): PublishedMethod {
  const { setting, options, make, kept, beside } = published;
  return {
    definition,
    name: definition.name,
    setting: typeof setting === "function" ? setting : () => setting,
    make: make ?? ((model) => definition.create!(options?.(model) ?? {})),
    ...kept && { kept },
    ...beside && { beside: beside() },
  };
}

/**
 * Tokens of the text that costs are counted on: 64, or what fits in a short context along with the longest
 * prompt.
 */
export function textLength(model: Model): number {
  const context = contextLength(model);
  const prompt = Math.min(100, Math.max(1, Math.floor(context / 2)));
  return Math.max(1, Math.min(64, context - prompt));
}

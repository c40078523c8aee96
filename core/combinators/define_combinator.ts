/** What is known of a combinator: how a combination that was saved is restored. */
import type { Adapter, Method, MethodDefinition } from "../adapters/method.ts";
import { checkOptions, type Options } from "../options/option.ts";
import { type JsonOptions, optionsFromJson } from "../options/option_json.ts";

/**
 * The definition of a combinator. A saved combination is a record with its own options and the records of its components.
 *
 * @param known Its name in records, and what it does in one sentence.
 * @param options Its own options.
 * @param make The combination from its options and its components, each with its stored parameters.
 * @param at Where a component's parameters are in the combination's; default: under the component's name.
 * @example
 * ```ts
 * import { defineCombinator, scaled } from "@graft/peft";
 * import { number, option } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const halved = defineCombinator(
 *   { name: "halved", summary: "Multiplies what a method changes by a half." },
 *   { factor: option(number, "what changes are multiplied by", 0.5) },
 *   ({ factor }, components) => scaled(components["of"]!.method, factor as number),
 *   () => [],
 * );
 * assert.equal(halved.name, "halved");
 * ```
 */
export function defineCombinator(
  known: Pick<MethodDefinition, "name" | "summary" | "facts">,
  options: Options,
  make: (options: Readonly<Record<string, unknown>>, components: Readonly<Record<string, Adapter>>) => Method,
  at?: (name: string, config: JsonOptions) => readonly string[],
): MethodDefinition {
  return {
    ...known,
    options,
    restore: (config, stored) => {
      const own = optionsFromJson(config);
      checkOptions(known.name, own, options);
      return make(own, stored.components(at && ((component) => at(component, config))));
    },
  };
}

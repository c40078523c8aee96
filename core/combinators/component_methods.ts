/** A composed adapter taken apart into the methods that folders hold side by side. */
import type { Method, MethodConfig } from "../adapters/mod.ts";
import { filled } from "../options/mod.ts";
import type { Tree } from "../../tensor/mod.ts";
import { atDefinition, composeDefinition } from "./compose.ts";

/** One method of an adapter. */
export interface ComponentMethod {
  /** The method itself. */
  readonly of: Method;
  /** Its name: that of its definition. */
  readonly method: string;
  /** Its options, defaults included. */
  readonly options: MethodConfig;
  /** Its parameters. */
  readonly params: Tree;
  /** Their path in the adapter's params; "" for all of them. */
  readonly prefix: string;
}

/**
 * The methods of a composition, however deep; `params` are at `prefix` in the adapter's.
 *
 * @example
 * ```ts
 * import { at, componentMethods, compose, ia3, layers, lora } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const both = compose({ low: at(layers(0), lora({ rank: 4 })), scales: ia3() });
 * const found = componentMethods(both, { low: {}, scales: {} });
 * assert.deepEqual(found.map(({ method, prefix }) => [method, prefix]), [["lora", "low"], ["ia3", "scales"]]);
 * assert.equal(found[0]!.options["scaling"], "standard");
 * ```
 */
export function componentMethods(method: Method, params: Tree, prefix = ""): readonly ComponentMethod[] {
  // Where a method has parameters says which places it is limited to.
  if (method.definition === atDefinition) return componentMethods(method.components!["of"]!, params, prefix);
  if (method.definition !== composeDefinition) {
    const { definition, config } = method;
    const options = definition === undefined ? config : filled(config, definition.options) as MethodConfig;
    return [{ of: method, method: definition?.name ?? method.name, options, params, prefix }];
  }
  return Object.entries(method.components ?? {}).flatMap(([component, inner]) =>
    componentMethods(
      inner,
      (params[component] ?? {}) as Tree,
      prefix === "" ? component : `${prefix}.${component}`,
    )
  );
}

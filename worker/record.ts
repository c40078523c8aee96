/** Methods as records, which cross to a worker. */
import type { Method } from "../core/mod.ts";
import { optionsToJson } from "../core/options/mod.ts";
import type { MethodRecord } from "../io/records/method_record.ts";
import { typeError } from "../errors/error.ts";

/**
 * The record of a method that its options describe.
 *
 * @throws {TypeError} CANNOT_SAVE when it has no definition, or an option that is no data.
 */
export function recordFrom(method: Method | MethodRecord): MethodRecord {
  if ("method" in method) return method;
  const { definition, config, components, name } = method;
  if (definition === undefined) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot send "${name}" to a worker: it has no definition, which defineMethod or defineLinear give it`,
    );
  }
  return {
    method: definition.name,
    config: optionsToJson(`the options of ${name}`, config),
    ...components !== undefined && {
      parts: Object.fromEntries(Object.entries(components).map(([name, of]) => [name, recordFrom(of)])),
    },
  };
}

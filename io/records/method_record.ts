/**
 * A method as a record in a file, and back. A record is data all the way down: the name of a definition, its options, and
 * for a combination the records of its parts.
 *
 *     { "method": "scaled", "config": { "factor": 0.5 }, "parts": { "of": { "method": "lora", "config": { "rank": 4 } } } }
 */
import type { Adapter, Method, Model, Restoring, Spec, Tree } from "../../core/mod.ts";
import { filled, type JsonOptions, optionsFromJson, optionsToJson } from "../../core/options/mod.ts";
import { isObject } from "../../formats/strict_json.ts";
import type { KnownMethods } from "./known_methods.ts";
import { rangeError, syntaxError, typeError } from "../../errors/error.ts";

/** The record of a method in a file. */
export interface MethodRecord {
  /** The name of its definition. */
  readonly method: string;
  /** Its own options. */
  readonly config: JsonOptions;
  /** The methods that it is made of. */
  readonly parts?: Readonly<Record<string, MethodRecord>>;
}

/** A record and those of its parts. */
export const recordsIn = (record: MethodRecord): readonly MethodRecord[] => [
  record,
  ...Object.values(record.parts ?? {}).flatMap(recordsIn),
];

/** The stored parameters, for methods that need more than their record. */
export interface Stored {
  readonly model: Model;
  /** The method's parameters, as stored. */
  readonly params: Tree;
  /** The path of `params` from the root: "" or "part.". */
  readonly at: string;
  /** The values of an integer leaf, by its path from the root; for masks. */
  integers(path: string): Int32Array;
}

/**
 * The record of a method on a model, with the defaults of its options written out.
 *
 * @throws {TypeError} when a file cannot represent the method or one of its options.
 */
export function recordOf(method: Method, spec: Spec): MethodRecord {
  const { definition, components } = method;
  if (definition === undefined) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot save "${method.name}": it has no definition, which defineMethod or defineLinear give it; ` +
        "merge the adapter and save the model instead",
    );
  }
  if (definition.restore === undefined && definition.create === undefined) {
    throw typeError(
      "CANNOT_SAVE",
      `Cannot save "${method.name}": merge the adapter and save the model instead`,
    );
  }
  const said = definition.recorded?.(method, spec);
  // What is restored from a record has a form of its own; what options make gets those that nobody gave.
  const own = said !== undefined && definition.restore !== undefined
    ? said
    : filled(said ?? method.config, definition.options);
  return {
    method: definition.name,
    config: optionsToJson(`the options of ${method.name}`, own),
    ...components !== undefined && {
      parts: Object.fromEntries(Object.entries(components).map(([name, of]) => [name, recordOf(of, spec)])),
    },
  };
}

/**
 * The method of a record.
 *
 * @throws {RangeError} when it or an option is unknown.
 * @throws {SyntaxError} when the record is invalid.
 */
export function methodOfRecord(record: MethodRecord, stored: Stored, known: KnownMethods): Method {
  if (!isObject(record) || typeof record.method !== "string") {
    throw syntaxError("FILE_INVALID", 'Expected a record of a method, { "method", "config" }');
  }
  const { method: name, config = {}, parts = {} } = record;
  if (!isObject(config) || !isObject(parts)) {
    throw syntaxError("FILE_INVALID", `Expected "config" and "parts" of the method "${name}" to be objects`);
  }
  const definition = known.get(name);
  if (definition.restore === undefined) {
    if (definition.create === undefined) {
      throw rangeError("FILE_INVALID", `The method "${name}" is not one that files hold`);
    }
    return definition.create(optionsFromJson(config));
  }
  const restoring: Restoring = {
    model: stored.model,
    params: stored.params,
    integers: (path) => stored.integers(`${stored.at}${path}`),
    gate: known.gate,
    components: (at = (name) => [name]) =>
      Object.fromEntries(
        Object.entries(parts).map(([name, part]): readonly [string, Adapter] => {
          const own = at(name).reduce(storedOf, stored);
          return [name, { method: methodOfRecord(part, own, known), params: own.params }];
        }),
      ),
  };
  return definition.restore(config, restoring);
}

/** What is stored below a name. */
function storedOf(stored: Stored, name: string): Stored {
  return { ...stored, params: (stored.params[name] ?? {}) as Tree, at: `${stored.at}${name}.` };
}

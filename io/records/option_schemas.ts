/**
 * Schemas of option values that come from JSON: from a command line, or from a folder written by another
 * version. TypeScript checks programs, but in JSON a misspelt name, or a string instead of a number, would
 * pass unnoticed. Ranges of numbers are checked by the method itself.
 */
import { isObject } from "../../formats/strict_json.ts";

/** A test, with a description of valid values. */
export interface AnyOptionSchema {
  /** Follows "Expected … to be" in error messages. */
  readonly what: string;
  accepts(value: unknown): boolean;
}

/** The schema of exactly the values of T: invariant, so that no member of a union is forgotten. */
export interface OptionSchema<in out T> extends AnyOptionSchema {
  /** Never present; only for the type. */
  readonly of?: (value: T) => T;
}

/** The schemas of all options of `O`. */
export type OptionSchemasOf<O> = { readonly [K in keyof O]-?: OptionSchema<Exclude<O[K], undefined>> };

const schema = <T>(what: string, accepts: (value: unknown) => boolean): OptionSchema<T> => ({
  what,
  accepts,
});

/** Option schemas by the option's name. */
export type OptionSchemas = Readonly<Record<string, AnyOptionSchema>>;

/** Any JSON value. */
export const anything: OptionSchema<unknown> = schema("any value", () => true);
/** Any finite number. */
export const number: OptionSchema<number> = schema("a number", (value) => Number.isFinite(value));
/** A number that is a valid factor of a product. */
export const factor: OptionSchema<number> = schema(
  "a number other than 0",
  (value) => Number.isFinite(value) && value !== 0,
);
/** A size. */
export const count: OptionSchema<number> = schema(
  "a positive integer",
  (value) => Number.isInteger(value) && value as number > 0,
);
/** A seed of random numbers. */
export const seed: OptionSchema<number> = schema(
  "a non-negative integer",
  (value) => Number.isInteger(value) && value as number >= 0,
);
/** True or false. */
export const flag: OptionSchema<boolean> = schema("true or false", (value) => typeof value === "boolean");
/** A string. */
export const text: OptionSchema<string> = schema("a text", (value) => typeof value === "string");

/** One of some names, or numbers. */
export const oneOf = <const N extends readonly (string | number)[]>(...names: N): OptionSchema<N[number]> =>
  schema(either(names.map((name) => JSON.stringify(name))), (value) => names.some((name) => name === value));

/** A list of values with one schema. */
export const list = <T>(items: OptionSchema<T>): OptionSchema<readonly T[]> =>
  schema(
    `a list, each ${items.what}`,
    (value) => Array.isArray(value) && value.every((item) => items.accepts(item)),
  );

/** A pair of values with one schema. */
export const pair = <T>(items: OptionSchema<T>): OptionSchema<readonly [T, T]> =>
  schema(
    `two in a list, each ${items.what}`,
    (value) => Array.isArray(value) && value.length === 2 && value.every((item) => items.accepts(item)),
  );

/** An object whose values have one schema. */
export const record = <T>(values: OptionSchema<T>): OptionSchema<Readonly<Record<string, T>>> =>
  schema(
    `an object, each value ${values.what}`,
    (value) => isRecord(value) && Object.values(value).every((item) => values.accepts(item)),
  );

/** An object of known fields; those after a "?" may be absent. The type is asserted by the caller. */
export const fields = <T>(known: Readonly<Record<string, AnyOptionSchema>>): OptionSchema<T> => {
  const names = Object.keys(known).map((name) => name.replace("?", ""));
  const what = Object.entries(known).map(([name, { what }]) => `"${name.replace("?", "")}": ${what}`);
  return schema(
    `{${what.join(", ")}}`,
    (value) =>
      isRecord(value) && Object.keys(value).every((name) => names.includes(name)) &&
      Object.entries(known).every(([name, { accepts }]) =>
        name.endsWith("?")
          ? value[name.slice(0, -1)] === undefined || accepts(value[name.slice(0, -1)])
          : accepts(value[name])
      ),
  );
};

/** Any of several schemas. */
export const any = <T extends readonly unknown[]>(
  ...kinds: { readonly [I in keyof T]: OptionSchema<T[I]> }
): OptionSchema<T[number]> =>
  schema(either(kinds.map(({ what }) => what)), (value) => kinds.some(({ accepts }) => accepts(value)));

const names = list(text);
/** Names, or a pattern. */
export const places: OptionSchema<readonly string[] | RegExp> = schema(
  'a list of names or {"pattern": "…"}',
  (value) => names.accepts(value) || value instanceof RegExp,
);

/**
 * Checks the options that a method was given.
 *
 * @throws {RangeError} on an unknown name, or an invalid value.
 */
export function checkOptions(
  method: string,
  options: Readonly<Record<string, unknown>>,
  kinds: OptionSchemas,
): void {
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(kinds, name)) {
      throw new RangeError(`${method} has no option "${name}": there are ${Object.keys(kinds).join(", ")}`);
    }
    const { what, accepts } = kinds[name]!;
    if (accepts(value)) continue;
    throw new RangeError(`Expected ${method}'s option "${name}" to be ${what} but found ${shown(value)}`);
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  isObject(value) && !Array.isArray(value) && !(value instanceof RegExp);

const either = (parts: readonly string[]): string =>
  parts.length < 2 ? parts.join() : `${parts.slice(0, -1).join(", ")} or ${parts.at(-1)}`;

function shown(value: unknown): string {
  const whole = value instanceof RegExp
    ? String(value)
    : typeof value === "number"
    ? `${value}`
    : JSON.stringify(value);
  return whole.length > 80 ? `${whole.slice(0, 77)}…` : whole;
}

/** A schema for each option of `O`; a list that lacks one, or a member of a union, does not type-check. */
export const all = <O>() => (kinds: OptionSchemasOf<O>): OptionSchemas => kinds;

/**
 * What a value of an option may be, where it comes from JSON: of a command line, or of a folder that another version wrote.
 * TypeScript checks programs; here a name that is misspelt, or a string for a number, would pass and change nothing or
 * everything. Whether a number makes sense is the method's own to check.
 */
import { isObject } from "../../formats/strict_json.ts";

/** A test, and what it asks for in words. */
export interface AnyOptionSchema {
  /** Stands after "Expected … to be". */
  readonly what: string;
  accepts(value: unknown): boolean;
}

/** The kind of exactly the values of T: invariant, so that no member of a union is forgotten. */
export interface OptionSchema<in out T> extends AnyOptionSchema {
  /** Never there. */
  readonly of?: (value: T) => T;
}

/** The kinds of all options of `O`. */
export type OptionSchemasOf<O> = { readonly [K in keyof O]-?: OptionSchema<Exclude<O[K], undefined>> };

const schema = <T>(what: string, accepts: (value: unknown) => boolean): OptionSchema<T> => ({
  what,
  accepts,
});

/** OptionSchemas by the option's name. */
export type OptionSchemas = Readonly<Record<string, AnyOptionSchema>>;

/** Whatever JSON holds. */
export const anything: OptionSchema<unknown> = schema("any value", () => true);
/** Any finite number. */
export const number: OptionSchema<number> = schema("a number", (value) => Number.isFinite(value));
/** A number that a product may have as a factor. */
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
/** A text. */
export const text: OptionSchema<string> = schema("a text", (value) => typeof value === "string");

/** One of some names, or numbers. */
export const oneOf = <const N extends readonly (string | number)[]>(...names: N): OptionSchema<N[number]> =>
  schema(either(names.map((name) => JSON.stringify(name))), (value) => names.some((name) => name === value));

/** A list of one kind. */
export const list = <T>(items: OptionSchema<T>): OptionSchema<readonly T[]> =>
  schema(
    `a list, each ${items.what}`,
    (value) => Array.isArray(value) && value.every((item) => items.accepts(item)),
  );

/** Two of a kind. */
export const pair = <T>(items: OptionSchema<T>): OptionSchema<readonly [T, T]> =>
  schema(
    `two in a list, each ${items.what}`,
    (value) => Array.isArray(value) && value.length === 2 && value.every((item) => items.accepts(item)),
  );

/** An object of one kind of values. */
export const record = <T>(values: OptionSchema<T>): OptionSchema<Readonly<Record<string, T>>> =>
  schema(
    `an object, each value ${values.what}`,
    (value) => isRecord(value) && Object.values(value).every((item) => values.accepts(item)),
  );

/** An object of known fields; those after a "?" may be absent. The type is the caller's word. */
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

/** Any of several kinds. */
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
 * @throws {RangeError} on an unknown name, or a value of another kind.
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

/** A kind for each option of `O`; a list that lacks one, or a name of a choice, does not type-check. */
export const all = <O>() => (kinds: OptionSchemasOf<O>): OptionSchemas => kinds;

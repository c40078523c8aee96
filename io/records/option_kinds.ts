/**
 * What a value of an option may be, where it comes from JSON: of a command line, or of a folder that another version wrote.
 * TypeScript checks programs; here a name that is misspelt, or a string for a number, would pass and change nothing or
 * everything. Whether a number makes sense is the method's own to check.
 */
import { isObject } from "../../formats/strict_json.ts";

/** A test, and what it asks for in words. */
export interface AnyKind {
  /** Stands after "Expected … to be". */
  readonly what: string;
  fits(value: unknown): boolean;
}

/** The kind of exactly the values of T: invariant, so that no member of a union is forgotten. */
export interface Kind<in out T> extends AnyKind {
  /** Never there. */
  readonly of?: (value: T) => T;
}

/** The kinds of all options of `O`. */
export type KindsOf<O> = { readonly [K in keyof O]-?: Kind<Exclude<O[K], undefined>> };

const kind = <T>(what: string, fits: (value: unknown) => boolean): Kind<T> => ({ what, fits });

/** Kinds by the option's name. */
export type Kinds = Readonly<Record<string, AnyKind>>;

/** Whatever JSON holds. */
export const anything: Kind<unknown> = kind("any value", () => true);
/** Any finite number. */
export const number: Kind<number> = kind("a number", (value) => Number.isFinite(value));
/** A number that a product may have as a factor. */
export const factor: Kind<number> = kind(
  "a number other than 0",
  (value) => Number.isFinite(value) && value !== 0,
);
/** A size. */
export const count: Kind<number> = kind(
  "a positive integer",
  (value) => Number.isInteger(value) && value as number > 0,
);
/** A seed of random numbers. */
export const seed: Kind<number> = kind(
  "a non-negative integer",
  (value) => Number.isInteger(value) && value as number >= 0,
);
/** True or false. */
export const flag: Kind<boolean> = kind("true or false", (value) => typeof value === "boolean");
/** A text. */
export const text: Kind<string> = kind("a text", (value) => typeof value === "string");

/** One of some names, or numbers. */
export const oneOf = <const N extends readonly (string | number)[]>(...names: N): Kind<N[number]> =>
  kind(either(names.map((name) => JSON.stringify(name))), (value) => names.some((name) => name === value));

/** A list of one kind. */
export const list = <T>(items: Kind<T>): Kind<readonly T[]> =>
  kind(
    `a list, each ${items.what}`,
    (value) => Array.isArray(value) && value.every((item) => items.fits(item)),
  );

/** Two of a kind. */
export const pair = <T>(items: Kind<T>): Kind<readonly [T, T]> =>
  kind(
    `two in a list, each ${items.what}`,
    (value) => Array.isArray(value) && value.length === 2 && value.every((item) => items.fits(item)),
  );

/** An object of one kind of values. */
export const record = <T>(values: Kind<T>): Kind<Readonly<Record<string, T>>> =>
  kind(
    `an object, each value ${values.what}`,
    (value) => isRecord(value) && Object.values(value).every((item) => values.fits(item)),
  );

/** An object of known fields; those after a "?" may be absent. The type is the caller's word. */
export const fields = <T>(known: Readonly<Record<string, AnyKind>>): Kind<T> => {
  const names = Object.keys(known).map((name) => name.replace("?", ""));
  const what = Object.entries(known).map(([name, { what }]) => `"${name.replace("?", "")}": ${what}`);
  return kind(
    `{${what.join(", ")}}`,
    (value) =>
      isRecord(value) && Object.keys(value).every((name) => names.includes(name)) &&
      Object.entries(known).every(([name, { fits }]) =>
        name.endsWith("?")
          ? value[name.slice(0, -1)] === undefined || fits(value[name.slice(0, -1)])
          : fits(value[name])
      ),
  );
};

/** Any of several kinds. */
export const any = <T extends readonly unknown[]>(
  ...kinds: { readonly [I in keyof T]: Kind<T[I]> }
): Kind<T[number]> =>
  kind(either(kinds.map(({ what }) => what)), (value) => kinds.some(({ fits }) => fits(value)));

const names = list(text);
/** Names, or a pattern. */
export const places: Kind<readonly string[] | RegExp> = kind(
  'a list of names or {"pattern": "…"}',
  (value) => names.fits(value) || value instanceof RegExp,
);

/**
 * Checks the options that a method was given.
 *
 * @throws {RangeError} on an unknown name, or a value of another kind.
 */
export function checkOptions(
  method: string,
  options: Readonly<Record<string, unknown>>,
  kinds: Kinds,
): void {
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(kinds, name)) {
      throw new RangeError(`${method} has no option "${name}": there are ${Object.keys(kinds).join(", ")}`);
    }
    const { what, fits } = kinds[name]!;
    if (fits(value)) continue;
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
export const all = <O>() => (kinds: KindsOf<O>): Kinds => kinds;

/**
 * Schemas of option values. TypeScript checks programs, but in JSON, from a command line or a folder, a misspelt
 * name, or a string instead of a number, would pass unnoticed.
 */
import { type Counted, MOST } from "../trees/bounds.ts";

/** A test, with a description of valid values. */
export interface AnyOptionSchema {
  /** Follows "Expected … to be" in error messages. */
  readonly what: string;
  /** Whether some values are made in programs alone, and no JSON. */
  readonly program?: true;
  /** Whether it is a rank, of which none above a matrix's smaller side adds anything. */
  readonly matrixRank?: true;
  /** Whether a value is one of them. */
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

/** A probability below 1, as of a dropout. */
export const probability: OptionSchema<number> = schema(
  "a number from 0 up to 1",
  (value) => typeof value === "number" && value >= 0 && value < 1,
);
/** A number above 0. */
export const positive: OptionSchema<number> = schema(
  "a number above 0",
  (value) => Number.isFinite(value) && value as number > 0,
);

/**
 * A schema of counts with the largest number that any real file has, since a count drives a loop or an allocation: of a
 * number, or of the numbers in a list or by name.
 *
 * @example
 * ```ts
 * import { bounded, count } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const rank = bounded(count, "rank");
 * assert.equal(rank.what, "a positive integer of at most 65536");
 * assert.ok(rank.accepts(8) && !rank.accepts(2 ** 31));
 * ```
 */
export const bounded = <T>(of: OptionSchema<T>, counted: Counted): OptionSchema<T> => ({
  ...of,
  what: `${of.what} of at most ${MOST[counted]}`,
  accepts: (value) => of.accepts(value) && numbersIn(value).every((n) => n <= MOST[counted]),
});

const numbersIn = (value: unknown): readonly number[] =>
  typeof value === "number"
    ? [value]
    : typeof value === "object" && value !== null
    ? Object.values(value).flatMap(numbersIn)
    : [];

/**
 * A value that is made in a program and is no JSON, such as tensors: neither a command line nor a file has it.
 *
 * @example
 * ```ts
 * import { made } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const mask = made<Int32Array>("a mask", (value) => value instanceof Int32Array);
 * assert.ok(mask.accepts(new Int32Array(2)) && !mask.accepts([0, 1]));
 * ```
 */
export const made = <T>(
  what: string,
  accepts: (value: unknown) => boolean = isSomething,
): OptionSchema<T> => ({ ...schema(what, accepts), program: true });

/**
 * One of some names, or numbers.
 *
 * @example
 * ```ts
 * import { oneOf } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const start = oneOf("zeros", "normal");
 * assert.equal(start.what, '"zeros" or "normal"');
 * assert.ok(start.accepts("zeros") && !start.accepts("zeroes"));
 * ```
 */
export const oneOf = <const N extends readonly (string | number)[]>(...names: N): OptionSchema<N[number]> =>
  schema(either(names.map((name) => JSON.stringify(name))), (value) => names.some((name) => name === value));

/**
 * A list of values with one schema.
 *
 * @example
 * ```ts
 * import { count, list } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const layers = list(count);
 * assert.ok(layers.accepts([1, 2]) && !layers.accepts([0.5]));
 * ```
 */
export const list = <T>(items: OptionSchema<T>): OptionSchema<readonly T[]> =>
  schema(
    `a list, each ${items.what}`,
    (value) => Array.isArray(value) && value.every((item) => items.accepts(item)),
  );

/**
 * A pair of values with one schema.
 *
 * @example
 * ```ts
 * import { number, pair } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const betas = pair(number);
 * assert.ok(betas.accepts([0.9, 0.999]) && !betas.accepts([0.9]));
 * ```
 */
export const pair = <T>(items: OptionSchema<T>): OptionSchema<readonly [T, T]> =>
  schema(
    `two in a list, each ${items.what}`,
    (value) => Array.isArray(value) && value.length === 2 && value.every((item) => items.accepts(item)),
  );

/**
 * An object whose values have one schema.
 *
 * @example
 * ```ts
 * import { count, record } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const rankPattern = record(count);
 * assert.ok(rankPattern.accepts({ q_proj: 8, v_proj: 4 }) && !rankPattern.accepts({ q_proj: "8" }));
 * ```
 */
export const record = <T>(values: OptionSchema<T>): OptionSchema<Readonly<Record<string, T>>> =>
  schema(
    `an object, each value ${values.what}`,
    (value) => isRecord(value) && Object.values(value).every((item) => values.accepts(item)),
  );

/**
 * An object of known fields; those whose name ends in "?" may be absent. The type is asserted by the caller.
 *
 * @example
 * ```ts
 * import { count, fields, probability } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const network = fields<{ readonly hidden: number; readonly dropout?: number }>({
 *   hidden: count,
 *   "dropout?": probability,
 * });
 * assert.ok(network.accepts({ hidden: 64 }) && !network.accepts({ dropout: 0.1 }));
 * ```
 */
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

/**
 * Any of several schemas.
 *
 * @example
 * ```ts
 * import { any, count, oneOf } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const rank = any(count, oneOf("full"));
 * assert.equal(rank.what, 'a positive integer or "full"');
 * assert.ok(rank.accepts(8) && rank.accepts("full") && !rank.accepts("half"));
 * ```
 */
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

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof RegExp);

const either = (parts: readonly string[]): string =>
  parts.length < 2 ? parts.join() : `${parts.slice(0, -1).join(", ")} or ${parts.at(-1)}`;

const isSomething = (value: unknown): boolean => typeof value === "object" && value !== null;

/**
 * A schema for each option of `O`; a list that lacks one, or a member of a union, does not type-check.
 *
 * @example
 * ```ts
 * import { all, count, oneOf } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * interface StartOptions {
 *   readonly rank?: number;
 *   readonly start?: "zeros" | "normal";
 * }
 * const schemas = all<StartOptions>()({ rank: count, start: oneOf("zeros", "normal") });
 * assert.deepEqual(Object.keys(schemas), ["rank", "start"]);
 * ```
 */
export const all = <O>(): (kinds: OptionSchemasOf<O>) => OptionSchemas => (kinds) => kinds;

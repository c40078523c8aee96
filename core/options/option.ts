/** The options of a method as it declares them: schema, default and a sentence for each, from which everything else follows. */
import { closest } from "./closest.ts";
import type { AnyOptionSchema, OptionSchema } from "./option_schemas.ts";
import { rangeError } from "../../errors/error.ts";

/** One option of a method. */
export interface Option extends AnyOptionSchema {
  /** One sentence for help pages. */
  readonly help: string;
  /** The value where none is given; absent where leaving it out means something of its own. */
  readonly default?: unknown;
  /** Whether the method cannot do without it. */
  readonly needed?: true;
  /** The options of a part, where the value is an object of them: what flags say of the part and what is named are merged. */
  readonly part?: Options;
}

/** An option with values of T. */
export interface OptionOf<in out T> extends Option, OptionSchema<T> {}

/** An option with values of T and a default. */
export interface DefaultedOption<in out T> extends OptionOf<T> {
  /** The value where none is given. */
  readonly default: T;
}

/** An option with values of T that must be given. */
export interface NeededOption<in out T> extends OptionOf<T> {
  /** Whether it must be given. */
  readonly needed: true;
}

/** Options by name. */
export type Options = Readonly<Record<string, Option>>;

/**
 * An option for each member of O, its default included; a member without a default is declared
 * `name?: T | undefined`, and one that must be given `name: T`. What O lacks, or a member of a union that a schema
 * forgets, does not type-check.
 */
export type OptionsOf<O> = {
  readonly [K in keyof O]-?: object extends Pick<O, K>
    ? undefined extends Required<O>[K] ? OptionOf<Exclude<O[K], undefined>>
    : IsExact extends true ? DefaultedOption<Exclude<O[K], undefined>>
    : OptionOf<Exclude<O[K], undefined>>
    : NeededOption<O[K]>;
};

/** Whether the program is checked with exactOptionalPropertyTypes, without which `?:` and `?: undefined |` are one. */
export type IsExact = undefined extends Required<{ readonly a?: 0 | undefined }>["a"] ? true : false;

/** What options have once those with a default have one: T by name, or T and undefined where there is no default. */
export type ValuesOf<K extends Options> = {
  readonly [N in keyof K]: K[N] extends DefaultedOption<infer T> ? T
    : K[N] extends NeededOption<infer T> ? T
    : K[N] extends OptionOf<infer T> ? T | undefined
    : unknown;
};

/** O with its defaults filled in. */
export type Filled<O> = Readonly<Required<O>>;

/**
 * An option with a default.
 *
 * @param schema Its values.
 * @param help One sentence.
 * @param otherwise The value where none is given.
 * @example
 * ```ts
 * import { count, option } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * assert.equal(option(count, "r, the rank of the update", 8).default, 8);
 * ```
 */
export function option<T>(schema: OptionSchema<T>, help: string, otherwise: T): DefaultedOption<T>;
/** An option without a default: leaving it out means something of its own. */
export function option<T>(schema: OptionSchema<T>, help: string): OptionOf<T>;
export function option<T>(schema: OptionSchema<T>, help: string, otherwise?: T): OptionOf<T> {
  return { ...schema, help, ...otherwise !== undefined && { default: otherwise } };
}

/**
 * An option that must be given.
 *
 * @param schema Its values.
 * @param help One sentence.
 * @example
 * ```ts
 * import { needed, text } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * assert.ok(needed(text, "the name of the table").needed);
 * ```
 */
export const needed = <T>(schema: OptionSchema<T>, help: string): NeededOption<T> => ({
  ...schema,
  help,
  needed: true,
});

/**
 * The names of needed options that are not given.
 *
 * @example
 * ```ts
 * import { missing, needed, text } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const known = { table: needed(text, "the name of the table") };
 * assert.deepEqual(missing({}, known), ["table"]);
 * assert.deepEqual(missing({ table: "lm_head" }, known), []);
 * ```
 */
export function missing(options: Readonly<Record<string, unknown>>, known: Options): readonly string[] {
  return Object.keys(known).filter((name) => known[name]!.needed && options[name] === undefined);
}

/**
 * The options that a method was given with its defaults, checked.
 *
 * @param method Its name, for messages.
 * @throws {RangeError} on an unknown name, a value that its schema does not accept, or a needed option that is missing.
 * @example
 * ```ts
 * import { completed, needed, text } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const known = { table: needed(text, "the name of the table") };
 * assert.throws(() => completed("rows", {}, known), /rows needs its option "table": the name of the table/);
 * ```
 */
export function completed<K extends Options>(
  method: string,
  options: Readonly<Record<string, unknown>>,
  known: K,
): ValuesOf<K> {
  checkOptions(method, options, known);
  const [name] = missing(options, known);
  if (name !== undefined) {
    throw rangeError("INVALID_ARGUMENT", `${method} needs its option "${name}": ${known[name]!.help}`);
  }
  return filled(options, known);
}

/**
 * The options with a default each where none is given.
 *
 * @example
 * ```ts
 * import { count, filled, option } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * assert.deepEqual(filled({}, { rank: option(count, "r", 8) }), { rank: 8 });
 * ```
 */
export function filled<K extends Options>(
  options: Readonly<Record<string, unknown>>,
  known: K,
): ValuesOf<K> {
  const defaults = Object.entries<Option>(known).filter(([, one]) => one.default !== undefined)
    .map(([name, one]) => [name, one.default] as const);
  return { ...Object.fromEntries(defaults), ...given(options) } as ValuesOf<K>;
}

/**
 * The options that are not undefined.
 *
 * @example
 * ```ts
 * import { given } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * assert.deepEqual(given({ rank: 4, alpha: undefined }), { rank: 4 });
 * ```
 */
export function given(options: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/**
 * Checks the options that a method was given.
 *
 * @param method Its name, for messages.
 * @throws {RangeError} on an unknown name, or a value that its schema does not accept.
 * @example
 * ```ts
 * import { checkOptions, count, option } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const known = { rank: option(count, "r", 8) };
 * checkOptions("lora", { rank: 4 }, known);
 * assert.throws(() => checkOptions("lora", { rnak: 4 }, known), /lora has no option "rnak": did you mean "rank"/);
 * ```
 */
export function checkOptions(
  method: string,
  options: Readonly<Record<string, unknown>>,
  known: Readonly<Record<string, AnyOptionSchema>>,
): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(known, name)) {
      const names = Object.keys(known);
      const near = closest(name, names);
      const instead = names.length === 0
        ? "it has none"
        : near === undefined
        ? `there are ${names.join(", ")}`
        : `did you mean "${near}"? There are ${names.join(", ")}`;
      throw rangeError("INVALID_ARGUMENT", `${method} has no option "${name}": ${instead}`);
    }
    const { what, accepts } = known[name]!;
    if (accepts(value)) continue;
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected ${method}'s option "${name}" to be ${what} but found ${shown(value)}`,
    );
  }
}

function shown(value: unknown): string {
  const whole = value instanceof RegExp || typeof value === "number"
    ? String(value)
    : typeof value === "function"
    ? "a function"
    : JSON.stringify(value);
  return whole.length > 80 ? `${whole.slice(0, 77)}…` : whole;
}

/** Methods that are compositions of others, with options for each part. */
import type { DefinedMethod, Method, MethodDefinition, Tree } from "../../core/mod.ts";
import {
  any,
  completed,
  type DefaultedOption,
  type Filled,
  oneOf,
  option,
  type Options,
  type OptionSchema,
  type OptionsOf,
} from "../../core/options/mod.ts";

/** What `defineComposition` is given. */
export interface CompositionSpec<O, P extends Tree> extends Omit<MethodDefinition, "options" | "create"> {
  /** Every option of `O`, with its schema, a sentence and its default. */
  readonly options: OptionsOf<O>;
  /** The composition, which has the name and the definition of a combinator. */
  create(options: Filled<O>): Method<P>;
}

/** A factory that checks its options, fills in defaults, and gives a composition. */
export function defineComposition<O, P extends Tree = Tree>(
  { create, ...known }: CompositionSpec<O, P>,
): DefinedMethod<O, P> {
  const make = (options: O = {} as O): Method<P> => {
    const own = options as Readonly<Record<string, unknown>>;
    return create(completed(known.name, own, known.options) as Filled<O>);
  };
  const definition: MethodDefinition = { ...known, create: (options) => make(options as O) as Method };
  return Object.assign(make, { definition });
}

/** The definition of a part, where its factory has one. */
type Part = { readonly definition?: MethodDefinition };

/** Options of a part: an object of those that its method has, but some. */
export function partOption<O>(
  part: Part,
  help: string,
  without: readonly string[] = [],
): DefaultedOption<O> {
  const schema = partSchema<O>(part, without);
  return { ...option(schema, help, {} as O), part: schema.part };
}

/** The same, or "none" for a composition without the part. */
export function partOrNone<O>(
  part: Part,
  help: string,
  without: readonly string[] = [],
): DefaultedOption<O | "none"> {
  const schema = partSchema<O>(part, without);
  return { ...option(any<[O, "none"]>(schema, oneOf("none")), help, {} as O), part: schema.part };
}

function partSchema<O>(
  { definition }: Part,
  without: readonly string[],
): OptionSchema<O> & { readonly part: Options } {
  const part: Options = Object.fromEntries(
    Object.entries(definition?.options ?? {}).filter(([name]) => !without.includes(name)),
  );
  return {
    what: `an object with options of ${definition?.name}: ${Object.keys(part).join(", ")}`,
    accepts: (value) =>
      typeof value === "object" && value !== null && !Array.isArray(value) &&
      (definition === undefined ||
        Object.entries(value).every(([name, own]) =>
          own === undefined || (Object.hasOwn(part, name) && part[name]!.accepts(own))
        )),
    part,
  };
}

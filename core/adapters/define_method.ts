/** Factories of methods that know themselves: `defineMethod`. */
import type { Tree } from "../../tensor/mod.ts";
import { completed, type Filled, given, type OptionsOf } from "../options/option.ts";
import type { CommandLine, Method, MethodConfig, MethodDefinition } from "./method.ts";

/** A factory of methods, with what is known of them. */
export interface DefinedMethod<O, P extends Tree = Tree> {
  /** The method with these options, and the defaults of the others. */
  (options?: O): Method<P>;
  /** What is known of the method. */
  readonly definition: MethodDefinition;
}

/** What a method computes: a method without name, config and definition. */
export type MethodBody<P extends Tree = Tree> = Omit<
  Method<P>,
  "name" | "config" | "definition" | "components"
>;

/** What `defineMethod` is given. */
export interface MethodSpec<O, P extends Tree = Tree>
  extends Omit<MethodDefinition, "options" | "create" | "cli"> {
  /** Every option of `O`, with its schema, a sentence and its default. */
  readonly options: OptionsOf<O>;
  /** The method from its options, the defaults filled in. @throws {RangeError} on options that do not go together. */
  create(options: Filled<O>): MethodBody<P>;
  /** What the command line offers. */
  readonly cli?: CommandLine;
}

/**
 * A factory that checks options by their schemas, fills in defaults, and gives a method with name, config and definition.
 *
 * @example
 * ```ts
 * import { type DefinedMethod, defineMethod } from "@graft/peft";
 * import { number, option } from "@graft/peft/options";
 * import { full } from "@graft/peft/ops";
 * import type { Tensor } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 *
 * // W' = g W: one gain for every linear layer.
 * type GainOptions = { readonly start?: number };
 * const gain: DefinedMethod<GainOptions> = defineMethod<GainOptions>({
 *   name: "gain",
 *   summary: "Multiplies every layer's output by one number.",
 *   options: { start: option(number, "the first value of g", 1) },
 *   create: ({ start }) => ({
 *     init: ({ model }) => ({ g: full([1], start, model.backend) }),
 *     edits: ({ g }, spec) =>
 *       spec.linears.map(({ path }) => ({ kind: "linear", path, change: { form: "scale", out: g as Tensor } })),
 *   }),
 * });
 * assert.equal(gain().name, "gain");
 * assert.throws(() => gain({ start: NaN }), /Expected gain's option "start" to be a number but found NaN/);
 * ```
 */
export function defineMethod<O, P extends Tree = Tree>(spec: MethodSpec<O, P>): DefinedMethod<O, P> {
  const { create, ...known } = spec;
  const make = (options: O = {} as O): Method<P> => {
    const own = options as Readonly<Record<string, unknown>>;
    return {
      ...create(completed(spec.name, own, spec.options) as Filled<O>),
      name: spec.name,
      config: given(own) as MethodConfig,
      definition,
    };
  };
  const definition: MethodDefinition = { ...known, create: (options) => make(options as O) as Method };
  return Object.assign(make, { definition });
}

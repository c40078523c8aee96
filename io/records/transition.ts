/** Definitions of methods that have none of their own yet, from the tables of options. */
import type { Method, MethodDefinition, Spec, Tree } from "../../core/mod.ts";
import { plainName } from "../../core/options/mod.ts";
import { DEFINITIONS } from "../../methods/index.ts";
import { METHOD_OPTIONS } from "./method_options.ts";
import { namedMethod } from "./named_method.ts";
import type { BuiltMethod } from "./method_options.ts";
import { particular, PARTICULAR_NAMES } from "./particular.ts";

export const OLD: readonly MethodDefinition[] = [
  ...(Object.keys(METHOD_OPTIONS) as BuiltMethod[]).map((name): MethodDefinition => ({
    name,
    options: {},
    restore: (config) => namedMethod(name, config),
    recorded: ({ config }) => config,
  })),
  ...PARTICULAR_NAMES.map((name): MethodDefinition => ({
    name,
    options: {},
    restore: (config, held) => particular(name, config, held),
    recorded: ({ config }, spec) => name === "far" ? { ...config, outputs: outputsOf(config, spec) } : config,
  })),
].filter(({ name }) => !DEFINITIONS.some((one) => plainName(one.name) === plainName(name)));

export const oldDefinition = ({ name }: Pick<Method, "name">): MethodDefinition | undefined =>
  OLD.find((one) => plainName(one.name) === plainName(name));

function outputsOf(config: Method["config"], spec: Spec): Readonly<Record<string, number>> {
  const paths = Object.keys(config["learners"] as Tree);
  return Object.fromEntries(
    spec.linears.filter(({ path }) => paths.includes(path)).map((
      { path, outFeatures },
    ) => [path, outFeatures]),
  );
}

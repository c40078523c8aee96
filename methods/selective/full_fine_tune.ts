/**
 * Full fine-tuning, and training any chosen part of the weights: θ itself is changed. The reference against
 * which the other methods are measured.
 */
import {
  checkOnce,
  type DefinedMethod,
  defineMethod,
  isQuantized,
  leaves,
  matchesWhole,
  type MethodBody,
  nameMatches,
  nest,
  type PlacedLeaf,
  placedLeaves,
  replaceLeaf,
  type Spec,
  trainableCopy,
  type Tree,
  weightLeaves,
} from "../../core/mod.ts";
import { needed, places } from "../../core/options/mod.ts";
import { withPattern } from "../shared/pattern_source.ts";
import { rangeError } from "../../errors/error.ts";

/** Which leaves are trained: names or a pattern for the whole path of the leaf ("model.norm.weight"). */
export interface OnlyOptions {
  /** Which weights are trained: ends of their paths, or a pattern for the whole path. */
  readonly parameters: readonly string[] | RegExp;
}

/**
 * Trains every weight. Parameters are f32 copies under the checkpoint's own names; tied weights only once.
 *
 * @example
 * ```ts
 * import { fullFineTune } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(fullFineTune().name, "full-fine-tune");
 * ```
 */
export const fullFineTune: DefinedMethod<Readonly<Record<never, never>>> = defineMethod({
  name: "full-fine-tune",
  summary: "Trains every weight.",
  facts: { trains: "all", changes: "the same", source: "|" },
  aliases: ["full", "full-fine-tuning"],
  title: "full fine-tuning",
  options: {},
  create: () => training("full-fine-tune", () => true),
  cli: {
    rate: 2e-5,
    shortRate: 2.5e-3,
    flags: [],
    optimizer: "paged",
    head: "all",
    writes: "model",
    compared: 1,
  },
  published: { setting: "every weight" },
});

/**
 * Trains the weights that names (equal to a path or its end) or a pattern choose.
 *
 * @throws {RangeError} when there is no name; at init, when a name or the pattern matches nothing, or two names the same weight.
 * @example
 * ```ts
 * import { adapt, count, freshModel, only, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { trainable } = count(model, adapt(model, only({ parameters: ["norm.weight"] })));
 * assert.equal(trainable, 16);
 * ```
 */
export const only: DefinedMethod<OnlyOptions> = defineMethod<OnlyOptions>({
  name: "only",
  summary: "Trains the weights that you name.",
  facts: { trains: "what is named", changes: "the same", source: "|" },
  title: "chosen weights",
  wholeModules: true,
  options: { parameters: needed(places, "which weights train, by name or pattern") },
  create: ({ parameters }) => {
    if (Array.isArray(parameters) && parameters.length === 0) {
      throw rangeError(
        "INVALID_ARGUMENT",
        'Expected only\'s option "parameters" to name at least one weight but found none',
      );
    }
    const wanted = parameters instanceof RegExp
      ? [{ what: String(parameters), matches: (path: string) => matchesWhole(parameters, path) }]
      : parameters.map((name) => ({ what: `"${name}"`, matches: (path: string) => nameMatches(name, path) }));
    const { init, edits } = training("only", (path) => wanted.some(({ matches }) => matches(path)));
    return {
      init: (given) => {
        const paths = pathsOf(weightLeaves(given.model.weights), () => true);
        const idle = wanted.find(({ matches }) => !paths.some(matches));
        if (idle !== undefined) {
          throw rangeError("NO_SUCH_PLACE", `${idle.what} of only matches no weight of the model`);
        }
        if (!(parameters instanceof RegExp)) checkOnce("parameters of only", "a weight", parameters, paths);
        return init(given);
      },
      edits,
    };
  },
  restore: (config) => only.definition.create!(withPattern(config, "parameters")),
  cli: { rate: 5e-5, flags: ["targets"], options: ({ targets }) => ({ parameters: targets }) },
  published: {
    setting: "the values' matrices",
    options: ({ spec }) => ({ parameters: valueMatrices(spec) }),
  },
});

/** Names of the value matrices, or of the fused matrices that contain them. */
function valueMatrices({ linears }: Spec): readonly string[] {
  const apart = linears.filter(({ role }) => role === "value");
  return (apart.length > 0 ? apart : linears.filter(({ role }) => role === "qkv"))
    .map(({ path }) => `${path}.weight`);
}

function training(name: string, chosen: (path: string) => boolean): MethodBody {
  return {
    init: ({ model }) => {
      const paths = pathsOf(placedLeaves(model), chosen);
      if (paths.length === 0) {
        throw rangeError("NO_SUCH_PLACE", `No weight of the model matches the parameters of ${name}`);
      }
      return nest(paths.map((path) => [path, trainableCopy(model, path)] as const)) as Tree;
    },
    edits: (params) => leaves(params).map(([path, value]) => replaceLeaf(path, value)),
  };
}

function pathsOf(all: readonly PlacedLeaf[], chosen: (path: string) => boolean): readonly string[] {
  return all
    .filter(([path, leaf]) =>
      chosen(path) && (isQuantized(leaf.dtype) || ["f32", "f16", "bf16"].includes(leaf.dtype))
    )
    .map(([path]) => path);
}

/**
 * Layer-norm tuning. Zhao et al. 2023, "Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM
 * Finetuning", arXiv 2312.11420: only the weights (and biases) of norms are trained.
 *
 *   n = (x − mean) / √(variance + ε) ⊙ γ + β        γ [d], and β [d] where the norm has one
 *
 * By default every norm of the model, as in PEFT's `LNTuningConfig` for Llama and GPT-2.
 */
import {
  checkOnce,
  type DefinedMethod,
  defineMethod,
  matchesWhole,
  nameMatches,
  type NormPlace,
  paramsAt,
  replaceLeaf,
  type Spec,
  type Tensor,
  trainableCopy,
} from "../../core/mod.ts";
import { option, places } from "../../core/options/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { withPattern } from "../shared/pattern_source.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of layer-norm tuning. */
export interface LayerNormTuneOptions {
  /** Which norms: names (equal to a path or its end) or a pattern on the whole path. Default all. */
  readonly norms?: readonly string[] | RegExp | undefined;
}

/**
 * Layer-norm tuning as a method. Parameters are copies under the checkpoint's names: `model.norm.weight`.
 *
 * @throws {RangeError} at init and when grafted, when a name or the pattern matches no norm; at init, when two names match one.
 * @example
 * ```ts
 * import { layerNormTune } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(layerNormTune({ norms: ["input_layernorm"] }).name, "layer-norm-tune");
 * ```
 */
export const layerNormTune: DefinedMethod<LayerNormTuneOptions> = defineMethod<LayerNormTuneOptions>({
  name: "layer-norm-tune",
  summary: "Trains the norms' scales and shifts alone.",
  facts: { trains: "every norm", changes: "the same" },
  aliases: ["layer-norm", "ln-tuning"],
  title: "LN-tuning",
  options: { norms: option(places, "which norms, by name or pattern; by default all") },
  create: (options) => ({
    init: ({ model }) => {
      const { norms } = options;
      const paths = chosenNorms(model.spec, options).map(({ path }) => path);
      if (Array.isArray(norms)) checkOnce("norms", "a norm", norms as readonly string[], paths);
      return freshParams(() =>
        normLeaves(model.spec, options).map((path) => [path, trainableCopy(model, path)])
      );
    },
    edits: (params, spec) =>
      normLeaves(spec, options).map((path) => replaceLeaf(path, paramsAt(params, path) as Tensor)),
  }),
  restore: (config) => layerNormTune(withPattern(config, "norms")),
  cli: {
    rate: 1e-3,
    flags: ["targets"],
    options: ({ targets }) => ({ norms: targets }),
  },
  published: { setting: "every norm" },
});

/**
 * The norms that options choose, in the model's order.
 *
 * @throws {RangeError} when a name or the pattern matches none.
 * @example
 * ```ts
 * import { chosenNorms, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(chosenNorms(spec, {}).length, 2 * 2 + 1); // two per layer, and the last
 * assert.equal(chosenNorms(spec, { norms: ["input_layernorm"] }).length, 2);
 * ```
 */
export function chosenNorms(spec: Spec, { norms }: LayerNormTuneOptions): readonly NormPlace[] {
  const none = (what: string): RangeError => {
    const ends = [...new Set(spec.norms.map(({ path }) => path.replace(/^.*\.\d+\./, "")))];
    return rangeError("NO_SUCH_PLACE", `${what} matches no norm of the model: there are ${ends.join(", ")}`);
  };
  if (norms === undefined || norms instanceof RegExp) {
    const chosen = spec.norms.filter(({ path }) => norms === undefined || matchesWhole(norms, path));
    if (chosen.length === 0) throw none(String(norms ?? "layer-norm-tune"));
    return chosen;
  }
  for (const name of norms) {
    if (!spec.norms.some(({ path }) => nameMatches(name, path))) throw none(`"${name}"`);
  }
  if (norms.length === 0) throw none("An empty list of names");
  return spec.norms.filter(({ path }) => norms.some((name) => nameMatches(name, path)));
}

function normLeaves(spec: Spec, options: LayerNormTuneOptions): readonly string[] {
  return chosenNorms(spec, options).flatMap(({ path, bias }) =>
    bias ? [`${path}.weight`, `${path}.bias`] : [`${path}.weight`]
  );
}

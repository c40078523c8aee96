/**
 * Initialization of a ladder's side network: the base pruned by importance, as in its paper, or random
 * layers.
 */
import {
  adapt,
  type Adapter,
  type Batch,
  dispose,
  leaves,
  type Method,
  type Model,
  type Spec,
  type Tree,
} from "../core/mod.ts";
import { METHOD_OPTIONS } from "../io/records/method_options.ts";
import { count, oneOf, type OptionSchemas } from "../core/options/option_schemas.ts";
import { ladderSideTuning, type LadderSideTuningOptions, prunedSide } from "../methods/mod.ts";
import { fisher } from "../core/mod.ts";
import { sideReduction } from "../methods/shared/model_sizes.ts";

/** Options of the method, and of its initialization. */
export interface LadderStart extends Omit<LadderSideTuningOptions, "start"> {
  /** The base's weights, pruned ("pruned", default), or PyTorch's initialization ("random"). */
  readonly initialization?: "pruned" | "random";
  /**
   * Which weights are kept: those with the largest Fisher information ("fisher", default), or the largest
   * squares ("magnitude").
   */
  readonly importance?: "fisher" | "magnitude";
  /** Maximum number of examples for the Fisher information. Default 1,024. */
  readonly examples?: number;
}

/** The option schemas. */
export const LADDER_START: OptionSchemas = {
  ...METHOD_OPTIONS.ladderSideTuning,
  initialization: oneOf("pruned", "random"),
  importance: oneOf("fisher", "magnitude"),
  examples: count,
};

/** Default number of examples for the Fisher information. */
export const FISHER_EXAMPLES = 1024;

/** The method with random layers, of suitable sizes. */
export function ladderOf(spec: Spec, options: LadderStart, start?: Tree): Method {
  const { reduction = sideReduction(spec), temperature, layers } = options;
  return ladderSideTuning({
    reduction,
    ...temperature !== undefined && { temperature },
    ...layers !== undefined && { layers },
    ...start !== undefined && { start },
  });
}

/** The method's initial adapter, using the examples of some batches. */
export async function ladderAdapter(
  model: Model,
  options: LadderStart,
  batches: readonly Batch[],
  seed: number,
): Promise<Adapter> {
  const fresh = ladderOf(model.spec, options);
  const start = await startOf(model, options, batches);
  if (start === undefined) return adapt(model, fresh, seed);
  const { params } = adapt(model, ladderOf(model.spec, options, start), seed);
  // Weights of blocks not in `layers` are unused.
  const taken = new Set(leaves(params).map(([, t]) => t.storage));
  dispose(leaves(start).map(([, t]) => t).filter((t) => !taken.has(t.storage)));
  return { name: "default", method: fresh, params };
}

/** Initial weights; undefined where random ones are requested. */
async function startOf(
  model: Model,
  { reduction = sideReduction(model.spec), initialization = "pruned", importance = "fisher", ...rest }:
    LadderStart,
  batches: readonly Batch[],
): Promise<Tree | undefined> {
  if (initialization === "random") return undefined;
  if (importance === "magnitude") return await prunedSide(model, { reduction });
  const ranked = new Set(
    model.spec.linears.filter(({ layer }) => layer !== undefined).map(({ path }) => `${path}.weight`),
  );
  const { examples = FISHER_EXAMPLES } = rest;
  const found = await fisher(model, batches, { parameters: (path) => ranked.has(path), examples });
  try {
    return await prunedSide(model, { reduction, importance: found.diagonal });
  } finally {
    found.dispose();
  }
}

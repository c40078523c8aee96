/** What a run will train and hold, from shapes alone, for memory plans. */
import {
  adapt,
  type Adapter,
  byteLength,
  chooseTargets,
  dequantizedShape,
  type Method,
  type Model,
  sizesOf,
  weightLeaves,
} from "../core/mod.ts";
import { fishMask, type LoftqOptions, psoft } from "../methods/mod.ts";
import { fishBudget, type FisherMaskOptions } from "../methods/selective/fisher_mask.ts";
import { beside, headOf } from "./task_heads.ts";
import { chosen, PREPARED } from "./prepared_options.ts";
import { plannedSourced } from "./sources.ts";
import { largestStage, STAGE_OPTIONS } from "./stages.ts";
import { ladderOf, type LadderStart } from "./ladder_start.ts";
import { blankPsoftOptions, type PsoftStart } from "./psoft_start.ts";
import { checkFlags, type MethodFlags, methodOf } from "./method_from_flags.ts";

/** The adapter of a run from shapes alone, for plans. */
export function plannedAdapter(
  model: Model,
  flags: MethodFlags & { readonly seed: number },
  fresh: readonly string[] = [],
): Adapter {
  checkFlags(flags);
  const head = headOf(flags, model, fresh);
  const own = plannedMethod(model, flags);
  // `adjust`, which reads values between steps, is omitted.
  const { adjust: _, ...method } = head === undefined ? own : beside(own, head);
  return adapt(model, method, flags.seed);
}

function plannedMethod(model: Model, flags: MethodFlags & { readonly seed: number }): Method {
  const { method } = flags;
  switch (method) {
    case "fish-mask":
      return plannedMask(model, chosen(model, flags, PREPARED["fish-mask"]) as Partial<FisherMaskOptions>);
    case "psoft":
      return psoft(blankPsoftOptions(model, chosen(model, flags, PREPARED.psoft) as PsoftStart));
    case "ladder-side":
      return ladderOf(model.spec, chosen(model, flags, PREPARED["ladder-side"]) as LadderStart);
    case "diff-pruning":
    case "lt-sft":
    case "far":
      return largestStage(method, model, chosen(model, flags, STAGE_OPTIONS[method]));
    case "adapter-fusion":
    case "sparse-adapter":
    case "spot":
    case "ipt":
    case "xlora":
      return plannedSourced(model, { ...flags, method });
    default:
      return methodOf({ ...flags, method }, model.spec);
  }
}

/** Bytes of a changed base held in addition to the model's, with the factors subtracted from it. */
export function plannedBase(model: Model, flags: MethodFlags): number {
  const { method } = flags;
  if (method !== "pissa" && method !== "olora" && method !== "loftq") return 0;
  const options = chosen(model, flags, PREPARED[method]) as LoftqOptions;
  const dtype = method === "loftq" ? options.dtype ?? "nf4" : "f32";
  const rank = options.rank!;
  return chooseTargets(model.spec, options).map(sizesOf).reduce((sum, { inFeatures, outFeatures }) => {
    const factors = 4 * rank * (inFeatures + outFeatures);
    return sum + byteLength(dtype, [outFeatures, inFeatures]) + (method === "loftq" ? 1 : 2) * factors;
  }, 0);
}

/** A mask of the size given by the budget, spread evenly. */
function plannedMask(model: Model, { ratio = 0.005, classifier }: Partial<FisherMaskOptions>): Method {
  const { masked } = fishBudget(model, { ratio, ...classifier !== undefined && { classifier } });
  const all = weightLeaves(model.weights);
  const total = all.reduce((n, [, leaf]) => n + leaf.size, 0);
  const leaves = all.map(([path, leaf]) => {
    const length = Math.min(leaf.size, Math.max(1, Math.round(masked * leaf.size / total)));
    return { path, shape: dequantizedShape(model, path), indices: Int32Array.from({ length }, (_, i) => i) };
  });
  return fishMask({ mask: { leaves, whole: [] } });
}

/**
 * Dropout on a weight update (LyCORIS): whole output rows of ΔW, or the whole ΔW of a layer, are left out in a training pass.
 */
import { fn, fold, type LinearChange, type LinearMap } from "../../core/mod.ts";
import { oneOf, option, type OptionsOf, probability } from "../../core/options/mod.ts";
import { add, divide, lessEqual, mean, multiply, uniform } from "../../ops/mod.ts";

/** What is dropped in training. */
export interface UpdateDropout {
  /** Probability of leaving out an output row of ΔW, default 0. */
  readonly rowDropout?: number;
  /** Whether kept rows are divided by the share that was kept. Default: that of the method. */
  readonly rowDropoutScaling?: "none" | "kept";
  /** Probability of leaving out the update of a layer in a pass, default 0. */
  readonly moduleDropout?: number;
}

/** Its options. @param scaling The method's default. */
export const updateDropout = (
  scaling: NonNullable<UpdateDropout["rowDropoutScaling"]>,
): OptionsOf<UpdateDropout> => ({
  rowDropout: option(probability, "how likely an output row of the update is left out in training", 0),
  rowDropoutScaling: option(
    oneOf("none", "kept"),
    "whether the rows that are kept are divided by their share",
    scaling,
  ),
  moduleDropout: option(probability, "how likely a layer's whole update is left out in training", 0),
});

/** y += map(x) with dropout on the map; a plain addition where nothing is dropped. */
export function addUpdate(map: LinearMap, options: UpdateDropout): LinearChange {
  const { rowDropout = 0, moduleDropout = 0, rowDropoutScaling = "none" } = options;
  if (rowDropout === 0 && moduleDropout === 0) return { form: "add", map };
  return {
    form: "delta",
    reads: "input",
    delta: fn({ map }, ({ map }, { x, train, key }) => {
      const y = map.apply(x);
      if (!train || key === undefined) return y;
      const kept = lessEqual(
        rowDropout,
        uniform(fold(key, "rows"), [map.outFeatures], x.backend),
      );
      const rows = rowDropoutScaling === "kept" ? divide(kept, mean(kept)) : kept;
      const whole = lessEqual(moduleDropout, uniform(fold(key, "module"), [1], x.backend));
      return multiply(multiply(y, rows), whole);
    }),
    weight: fn({ map }, ({ map }, { weight }) => add(weight, map.weight())),
  };
}

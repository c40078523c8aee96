/**
 * Lily in PEFT folders: `lily_A.weight` [r, in], `lily_B.weight` [E r, out] and `lily_router.weight` [E, r]
 * below the path of every layer, also where layers share them. Layers share parameters if they have the same
 * shape and end in the same name of `target_modules`, or match the pattern.
 */
import type { Filled } from "../../core/options/mod.ts";
import type { Json, MatrixPlace } from "../../core/mod.ts";
import { lily, lilyLayers, type LilyOptions } from "./lily.ts";
import { flagField, numberField, type PeftCodec, type PeftFields, wrong } from "../peft/codec.ts";
import { LAYER_FIELDS, peftLayer, withDefaults } from "../peft/layers.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Codec of `peft_type` "LILY".
 *
 * @example
 * ```ts
 * import { lilyPeft } from "@graft/peft/methods/codecs";
 * import assert from "node:assert/strict";
 * const options = lilyPeft.read({ ...lilyPeft.fields, num_B: 3, target_modules: ["q_proj"] });
 * assert.deepEqual([options.experts, options.mean, options.sharing], [3, "batch", ["q_proj"]]);
 * ```
 */
export const lilyPeft: PeftCodec<LilyOptions> = {
  type: "LILY",
  fields: { ...LAYER_FIELDS, r: 32, stride_A: 1, num_B: 2, scaling: 1, init_weights: true },
  refused: {},
  read: (fields) => ({
    rank: numberField(fields, "r"),
    stride: numberField(fields, "stride_A"),
    experts: numberField(fields, "num_B"),
    scale: numberField(fields, "scaling"),
    initialization: flagField(fields, "init_weights") ? "zero" : "none",
    mean: "batch",
    sharing: sharingOf(fields["target_modules"]),
  }),
  write: (given) => {
    const options = withDefaults(lily, given);
    return {
      r: options.rank,
      stride_A: options.stride,
      num_B: options.experts,
      scaling: options.scale,
      init_weights: options.initialization !== "none",
    };
  },
  method: lily,
  tensors: (places, given) => {
    const options = withDefaults(lily, given);
    const layers = lilyLayers(places, options);
    const { rank: r, experts } = options;
    return layers.flatMap(({ place, a, b }) => {
      const { path, inFeatures, outFeatures } = peftLayer("Lily", place, "without Conv1D");
      const others = (matrix: "a" | "b", name: string): readonly string[] =>
        layers.filter((layer) => layer[matrix] === path && layer.place !== place)
          .map((layer) => `${layer.place.path}.${name}.weight`);
      return [
        { path: `${path}.router`, key: `${path}.lily_router.weight`, shape: [experts, r] },
        ...a === path
          ? [{
            path: `${path}.a`,
            key: `${path}.lily_A.weight`,
            shape: [r, inFeatures],
            copies: others("a", "lily_A"),
          }]
          : [],
        ...b === path
          ? [{
            path: `${path}.b`,
            key: `${path}.lily_B.weight`,
            shape: [experts * r, outFeatures],
            copies: others("b", "lily_B"),
          }]
          : [],
      ];
    });
  },
  check: checkSharing,
};

function sharingOf(targets: Json | undefined): NonNullable<LilyOptions["sharing"]> {
  if (typeof targets !== "string") return targets as readonly string[] | null ?? "modules";
  if (targets.toLowerCase() !== "all-linear") return "all";
  return wrong("target_modules", "names or a pattern, by which Lily's layers share", targets);
}

/**
 * Refuses adapters for which PEFT would compute something else: it shares by the names under which layers are
 * saved, and averages over the batch.
 *
 * @throws {RangeError} in that case.
 */
function checkSharing(
  places: readonly MatrixPlace[],
  options: Filled<LilyOptions>,
  { target_modules: targets }: PeftFields,
): void {
  if (options.mean !== "batch") {
    throw rangeError(
      "CANNOT_SAVE",
      'Cannot save lily with the mean of each text as a PEFT folder: PEFT has that of the batch; use mean: "batch"',
    );
  }
  const shared = (sharing: NonNullable<LilyOptions["sharing"]>): string =>
    lilyLayers(places, { ...options, sharing }).map(({ a, b }) => `${a} ${b}`).join();
  if (shared(options.sharing) !== shared(sharingOf(targets))) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot save this lily as a PEFT folder: there layers of one shape share by the names ${
        JSON.stringify(targets)
      }, which are not those that share here`,
    );
  }
}

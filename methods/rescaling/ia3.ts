/**
 * (IA)³. Liu et al. 2022, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning",
 * arXiv 2205.05638, section 3.3.
 *
 *   K ← l_k ⊙ (W_k x + b_k)     V ← l_v ⊙ (W_v x + b_v)     FFN ← W_2 (l_ff ⊙ h)     each l starts at ones
 *
 * The vectors scale the outputs of the key and value layers and the input of the feed-forward part's second
 * layer, so they can be merged into the weights' rows and columns without overhead (the survey says "extra
 * gating").
 */
import {
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  freshTargets,
  type MatrixPlace,
  nameMatches,
  paramsAt,
  type Place,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { list, option, text } from "../../core/options/mod.ts";
import { ones } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { TARGETS } from "../shared/target_options.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of (IA)³. */
export interface Ia3Options extends TargetOptions {
  /** Which of the targets are scaled at their input. Default: those that leave the feed-forward part. */
  readonly feedForward?: readonly string[] | undefined;
}

/**
 * (IA)³ as a method. Default targets: key, value (or the fused qkv, whole, as in PEFT) and the feed-forward
 * part's last layer. Parameters: one vector per layer under its path, `….k_proj.l`.
 *
 * @example
 * ```ts
 * import { ia3 } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(ia3().name, "ia3");
 * ```
 */
export const ia3: DefinedMethod<Ia3Options> = defineMethod<Ia3Options>({
  name: "ia3",
  summary: "Scales keys, values and hidden feed-forward states by trained vectors.",
  facts: { parameters: "2 d_kv + m a layer (4 d_kv + m in a decoder with cross-attention)", merges: "yes" },
  title: "(IA)³",
  options: {
    ...TARGETS,
    feedForward: option(
      list(text),
      "which of the layers are scaled at their input; by default those that leave the feed-forward part",
    ),
  },
  create: (options) => {
    const targets = { ...options, targets: options.targets ?? standard };
    const { feedForward } = options;
    const atInput = (place: MatrixPlace): boolean => scalesInput(place, options);
    return {
      init: ({ model }) => {
        const places = freshTargets(model.spec, targets);
        const idle = feedForward?.find((name) => !places.some(({ path }) => nameMatches(name, path)));
        if (idle !== undefined) {
          const there = places.map(({ path }) => path).join(", ");
          throw rangeError(
            "NO_SUCH_PLACE",
            `feedForward "${idle}" matches none of the chosen layers: there are ${there}`,
          );
        }
        return freshParams(() =>
          places.map((place) => {
            const { inFeatures, outFeatures } = sizesOf(place);
            return [`${place.path}.l`, ones([atInput(place) ? inFeatures : outFeatures], model.backend)];
          })
        );
      },
      edits: (params, spec) =>
        chooseTargets(spec, targets).map((place) => {
          const { l } = paramsAt(params, place.path) as { readonly l: Tensor };
          const change = { form: "scale", ...atInput(place) ? { in: l } : { out: l } } as const;
          return { kind: "linear", path: place.path, change };
        }),
    };
  },
  cli: { rate: 5e-3, shortRate: 0.1, flags: ["targets"], targets: "own", compared: 4 },
  survey: {
    kinds: "A",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra gating",
    trainable: "0.02",
    changed: "0.02",
    differs:
      "the scales merge into the weights, which then all change; 0.02 % is T0-3B with gated feed-forward parts",
  },
  published: { setting: "k, v and down" },
});

/**
 * Whether a target is scaled at its input rather than at its output.
 *
 * @example
 * ```ts
 * import { freshModel, reference, scalesInput, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const scaled = spec.linears.filter((place) => scalesInput(place, {})).map(({ path }) => path);
 * assert.ok(scaled.every((path) => path.endsWith("down_proj"))); // the feed-forward part's inner states
 * ```
 */
export function scalesInput(place: MatrixPlace, options: Ia3Options): boolean {
  return options.feedForward === undefined
    ? place.kind === "linear" && place.role === "down"
    : options.feedForward.some((name) => nameMatches(name, place.path));
}

const standard = (place: Place): boolean =>
  place.kind === "linear" && ["key", "value", "qkv", "down"].includes(place.role);

/**
 * Lily. Zhong, Zhao and Zhou 2024, "Low-Rank Interconnected Adaptation across Layers", arXiv 2407.09946.
 *
 *   y = W x + b + s (Σ_e g_e B_e) h        h = A x [r]        g = mean over tokens of softmax(R h)        B_e [out, r]
 *
 * Layers of the same kind share parameters: A [r, in] is shared by `stride` adjacent layers, the E experts
 * B_e by all layers, and each layer's router R [E, r] mixes the experts. B starts at zero: the model is
 * initially unchanged. The mixture depends on the text, so no weight can store it, and a text continued from
 * a cache is mixed by its new tokens alone. The mean includes padding, as in the authors' code; that code and
 * PEFT take it over the whole batch, so that a text's result depends on the others in its batch. For a single
 * text the two are the same.
 */
import {
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  freshTargets,
  key as keyOf,
  type LinearCall,
  type MatrixPlace,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import {
  any,
  bounded,
  count,
  list,
  number,
  oneOf,
  option,
  type OptionSchema,
  text,
} from "../../core/options/mod.ts";
import { matmul, mean, multiply, reshape, softmax, zeros } from "../../ops/mod.ts";
import { rankSchema, TARGETS } from "../shared/target_options.ts";
import { checkNotEmbedding } from "../shared/not_embedding.ts";
import { freshParams, kaiming } from "../shared/initial_factors.ts";
import { rangeError } from "../../errors/error.ts";

/** Experts, of which there are several. */
const atLeastTwo: OptionSchema<number> = bounded({
  what: "an integer of 2 or more",
  accepts: (value) => Number.isInteger(value) && value as number >= 2,
}, "parts");

/** Options of Lily. */
export interface LilyOptions extends TargetOptions {
  /** r, default 32. */
  readonly rank?: number;
  /** How many adjacent layers share an A, default 1. */
  readonly stride?: number;
  /** E, at least 2, default 2. */
  readonly experts?: number;
  /** s, default 1. */
  readonly scale?: number;
  /**
   * Which layers of the same shape are of the same kind: those whose paths differ only in numbers ("modules",
   * default), those whose paths end in the same one of the given names, as in PEFT, or all.
   */
  readonly sharing?: "modules" | "all" | readonly string[];
  /**
   * What a router's outputs are averaged over: each text separately ("text", default), or all texts of a
   * batch.
   */
  readonly mean?: "text" | "batch";
  /** B at zero ("zero", default), or random ("none", for tests). */
  readonly initialization?: "zero" | "none";
}

/**
 * Lily as a method. Parameters: `router` [E, r] under each layer's path, `a` [r, in] under the first of those
 * that share it, `b` [E r, out] (the B_eᵀ stacked) under the first of a kind.
 *
 * @throws {RangeError} when a number is out of range, a target is an embedding or of two kinds, or targets match nothing.
 * @example
 * ```ts
 * import { adapt, count, freshModel, lily, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, lily({ rank: 4, stride: 2, targets: ["q_proj"] }));
 * // One A and two B_e for both layers, and a router for each.
 * assert.equal(count(model, adapter).trainable, 4 * 16 + 2 * 4 * 16 + 2 * (2 * 4));
 * ```
 */
export const lily: DefinedMethod<LilyOptions> = defineMethod<LilyOptions>({
  name: "lily",
  summary: "LoRA whose factors are shared between layers, and mixed by a router.",
  facts: {
    parameters: "for n layers of a kind ⌈n / stride⌉ r in + E r out + n E r",
    merges: "no: what is mixed depends on the text",
  },
  title: "Lily",
  options: {
    ...TARGETS,
    rank: option(rankSchema, "r, the rank of an expert", 32),
    stride: option(bounded(count, "blocks"), "how many neighbouring layers share an A", 1),
    experts: option(atLeastTwo, "E, how many B_e the layers of a kind share", 2),
    scale: option(number, "s, by which the update is multiplied", 1),
    sharing: option(
      any(oneOf("modules", "all"), list(text)),
      "which layers are of a kind: paths that differ in numbers alone, that end in one of some names, or all",
      "modules",
    ),
    mean: option(oneOf("text", "batch"), "what a router's outputs are averaged over", "text"),
    initialization: option(oneOf("zero", "none"), "whether B starts at zero, or random, for tests", "zero"),
  },
  create: (options) => {
    const { rank: r, experts, scale, initialization } = options;
    return {
      init: ({ model: { spec, backend }, key }) =>
        freshParams(() =>
          lilyLayers(freshTargets(spec, options), options).flatMap(({ place, a, b }) => {
            const { path } = place;
            const { inFeatures, outFeatures } = sizesOf(place);
            const seed = fold(keyOf(key), path);
            const shape = [experts * r, outFeatures] as const;
            return [
              [`${path}.router`, kaiming(seed, "router", [experts, r], backend)] as const,
              ...a === path ? [[`${path}.a`, kaiming(seed, "a", [r, inFeatures], backend)] as const] : [],
              ...b === path
                ? [
                  [
                    `${path}.b`,
                    initialization === "none" ? kaiming(seed, "b", shape, backend) : zeros(shape, backend),
                  ] as const,
                ]
                : [],
            ];
          })
        ),
      edits: (params, spec) =>
        lilyLayers(chooseTargets(spec, options), options).map(({ place: { path }, a, b }) => ({
          kind: "linear",
          path,
          change: {
            form: "delta",
            reads: "input",
            delta: fn(
              {
                router: paramsAt(params, `${path}.router`) as Tensor,
                a: paramsAt(params, `${a}.a`) as Tensor,
                b: paramsAt(params, `${b}.b`) as Tensor,
              },
              (layer, call: LinearCall) => multiply(mixed(layer, call.x, options.mean), scale),
            ),
          },
        })),
    };
  },
  cli: { rate: 1e-3, flags: ["rank", "targets"] },
  published: {
    setting: "r 32, one A in 4, 4 B on q and v",
    options: () => ({ stride: 4, experts: 4 }),
  },
});

/** The mixed experts' product with A x: [b, t, in] → [b, t, out]. */
function mixed(
  { router, a, b }: { readonly router: Tensor; readonly a: Tensor; readonly b: Tensor },
  x: Tensor,
  over: "text" | "batch",
): Tensor {
  const [e, r] = [router.shape[0]!, router.shape[1]!];
  const h = matmul(x, a, { transposeB: true }); // [b, t, r]
  const tokens = x.size / a.shape[1]!;
  const texts = over === "batch" || x.shape.length < 3 ? 1 : x.shape[0]!;
  const choices = softmax(matmul(h, router, { transposeB: true }));
  const shares = mean(reshape(choices, [texts, tokens / texts, e]), { axis: 1 }); // [texts, e]
  const up = reshape(matmul(shares, reshape(b, [e, b.size / e])), [texts, r, b.shape[1]!]);
  const y = matmul(reshape(h, [texts, tokens / texts, r]), up); // [texts, t, out]
  return reshape(y, [...x.shape.slice(0, -1), b.shape[1]!]);
}

/** A layer with the paths under which its A and its experts are stored. */
export interface LilyLayer {
  /** The layer. */
  readonly place: MatrixPlace;
  /** The layer that holds A. */
  readonly a: string;
  /** The layer that holds the experts. */
  readonly b: string;
}

/**
 * Which layers share parameters.
 *
 * @throws {RangeError} when a layer is an embedding, or ends in two of the names of a kind or in none.
 * @example
 * ```ts
 * import { freshModel, lilyLayers, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const queries = spec.linears.filter(({ role }) => role === "query");
 * assert.deepEqual(lilyLayers(queries, { stride: 1 }).map(({ a, b }) => [a, b].map((path) => path.split(".")[2])), [
 *   ["0", "0"],
 *   ["1", "0"],
 * ]);
 * ```
 */
export function lilyLayers(
  places: readonly MatrixPlace[],
  { stride = 1, sharing = "modules" }: LilyOptions,
): readonly LilyLayer[] {
  const kinds = Map.groupBy(places, (place) => {
    const { inFeatures, outFeatures } = sizesOf(place);
    return `${kindOf(place, sharing)} [${outFeatures}, ${inFeatures}]`;
  });
  const layers = new Map(
    [...kinds.values()].flatMap((kind) =>
      kind.map((place, i) => [place, { place, a: kind[i - i % stride]!.path, b: kind[0]!.path }] as const)
    ),
  );
  return places.map((place) => layers.get(place)!);
}

function kindOf(place: MatrixPlace, sharing: NonNullable<LilyOptions["sharing"]>): string {
  checkNotEmbedding("lily", place);
  const { path } = place;
  if (sharing === "all") return "";
  if (sharing === "modules") return path.replace(/\.\d+(?=\.)/g, ".*");
  const names = sharing.filter((name) => path.endsWith(name));
  if (names.length === 1) return names[0]!;
  throw rangeError(
    "INVALID_ARGUMENT",
    `Expected "${path}" to end in one name of sharing but found ${
      names.map((name) => `"${name}"`).join(", ") || "none"
    }`,
  );
}

/**
 * LoRA whose initialization changed the base, in a PEFT folder with only A and B: PEFT changes the base again
 * on loading.
 *
 *   pissa   W' = W − s B₀ A₀   the r leading singular triples of W
 *   olora   W' = W − s B₀ A₀   the first r columns of Q and rows of R in W = Q R, a Conv1D in its own layout
 *   loftq   W' = quantized W   in its own layout (quantized_base.ts)
 *
 * So on the original base the first two are LoRA of rank 2 r, W + s [B, −B₀] [A; A₀]; for LoftQ, and for
 * OLoRA on a quantized base, whose W' is quantized again, the quantized weights become part of the adapter.
 * Ranks are capped at a matrix's sizes (s stays that of the requested rank), embeddings are not changed, and
 * a layer whose matrix is in the folder uses that.
 */
import {
  dispose,
  lookup,
  type MatrixPlace,
  type Model,
  nest,
  overlay,
  scope,
  sizesOf,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { concat, negate } from "../../ops/mod.ts";
import type { PeftCodec, RepeatedChange } from "../peft/codec.ts";
import { factorisedMatrix } from "../shared/factorised_matrix.ts";
import { isQuantizedLayer, type Start, type StartedLayer, taken } from "./changed_start.ts";
import { type LoraFactors, type LoraOptions, loraRank, loraScale } from "./lora.ts";
import { quantizedWeights } from "./quantized_base.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** An initialization, bound to the layers of a model. */
interface ChangedBase {
  readonly start: Start;
  readonly layers: readonly StartedLayer[];
}

/** The options that fit the folder's matrices, and their equivalent on the original base. */
export function changedBase(
  codec: PeftCodec<LoraOptions>,
  start: Start,
  options: LoraOptions,
  places: readonly MatrixPlace[],
  model: Model,
): { readonly options: LoraOptions; readonly changed: RepeatedChange } {
  const layers = places.map((place): StartedLayer => {
    const { inFeatures, outFeatures } = sizesOf(place);
    const asked = loraRank(place.path, options);
    const changes = place.kind !== "embedding";
    const rank = changes ? Math.min(asked, inFeatures, outFeatures) : asked;
    if (start.name === "loftq" || (start.name === "olora" && !isQuantizedLayer(place, model))) {
      checkLies(start, place);
    }
    return { place, rank, scale: loraScale(place.path, options), changes };
  });
  const cut = layers.filter(({ place, rank }) => rank !== loraRank(place.path, options));
  return {
    options: withRanks(options, cut),
    changed: {
      on: async (brings, model) => {
        const found = changedLayers({ start, layers }, brings, model);
        const weights = await quantizedWeights(start, found, model);
        const twice = found.filter(({ place }) => !weights.has(`${place.path}.weight`));
        return {
          weights,
          method: twice.length === 0 ? undefined : codec.method(ofTwiceTheRank(options, layers, twice)),
          params: (params, at) =>
            twice.length === 0 ? Promise.resolve(params) : doubledFactors(params, start, twice, at, model),
        };
      },
    },
  };
}

/** The options with twice the rank at some layers. */
function ofTwiceTheRank(
  options: LoraOptions,
  layers: readonly StartedLayer[],
  doubled: readonly StartedLayer[],
): LoraOptions {
  const all = layers.map((l) => doubled.includes(l) ? { ...l, rank: 2 * l.rank } : l);
  const twice = timesTwo(options);
  return withRanks(twice, all.filter(({ place, rank }) => rank !== loraRank(place.path, twice)));
}

/** PEFT treats a Conv1D as a Linear here, and the factors of a non-square one then do not fit. */
function checkLies(start: Start, place: MatrixPlace): void {
  const { inFeatures, outFeatures } = sizesOf(place);
  const lies = place.kind === "embedding"
    ? start.name === "loftq"
    : place.kind === "linear" && place.transposed;
  if (!lies || (place.kind === "linear" && inFeatures === outFeatures)) return;
  throw rangeError(
    "INVALID_ARGUMENT",
    `Cannot load an adapter with init_lora_weights "${start.name}" on "${place.path}": PEFT takes its factors the wrong way round ` +
      "there, and cannot run it either",
  );
}

/** Twice the rank with the same s. */
function timesTwo(options: LoraOptions): LoraOptions {
  const growth = options.scaling === "rankStabilized" ? Math.SQRT2 : 2;
  const times = (numbers: Readonly<Record<string, number>>, factor: number): Record<string, number> =>
    Object.fromEntries(Object.entries(numbers).map(([pattern, n]) => [pattern, factor * n]));
  return {
    ...options,
    rank: 2 * (options.rank ?? 8),
    alpha: growth * (options.alpha ?? options.rank ?? 8),
    ...options.rankPattern && { rankPattern: times(options.rankPattern, 2) },
    ...options.alphaPattern && { alphaPattern: times(options.alphaPattern, growth) },
  };
}

/** Gives these layers their own ranks; the first pattern that matches applies. */
function withRanks(options: LoraOptions, layers: readonly StartedLayer[]): LoraOptions {
  if (layers.length === 0) return options;
  const numbers = (of: (layer: StartedLayer) => number): Record<string, number> =>
    Object.fromEntries(layers.map((layer) => [layer.place.path.replaceAll(".", "\\."), of(layer)]));
  const divisor = (rank: number): number => options.scaling === "rankStabilized" ? Math.sqrt(rank) : rank;
  return {
    ...options,
    rankPattern: { ...numbers(({ rank }) => rank), ...options.rankPattern },
    alphaPattern: { ...numbers(({ rank, scale }) => scale * divisor(rank)), ...options.alphaPattern },
  };
}

/**
 * The layers whose matrices PEFT changes on loading the folder.
 *
 * @param brings Whether the folder contains a layer's matrix, already changed.
 * @throws {TypeError} when such a matrix is quantized.
 * @throws {RangeError} when it is shared with another layer.
 */
function changedLayers(
  { start, layers }: ChangedBase,
  brings: (place: MatrixPlace) => boolean,
  model: Model,
): readonly StartedLayer[] {
  const found = layers.filter(({ place, changes }) => changes && !brings(place));
  for (const { place } of found) {
    if (place.kind === "head" && place.tiedTo !== undefined) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Cannot load an adapter with init_lora_weights "${start.name}" on "${place.path}": its matrix is "${place.tiedTo}"'s, which ` +
          "PEFT changes along with it; save it there with path_initial_model_for_weight_conversion, or merged",
      );
    }
    if (start.name !== "olora" && isQuantizedLayer(place, model)) {
      throw typeError(
        "INVALID_ARGUMENT",
        `Cannot load an adapter with init_lora_weights "${start.name}" on the quantized weights of "${place.path}": PEFT cannot either; ` +
          "load it on the unquantized base",
      );
    }
  }
  return found;
}

/**
 * The parameters with the subtracted initial products of these layers appended to the factors. The given
 * factors are freed.
 *
 * @param at The path in the parameters of a path of LoRA's own.
 */
async function doubledFactors(
  params: Tree,
  start: Start,
  layers: readonly StartedLayer[],
  at: (path: string) => string,
  model: Model,
): Promise<Tree> {
  const made: (readonly [string, Tensor])[] = [];
  try {
    for (const layer of layers) {
      const [pathA, pathB] = [at(`${layer.place.path}.a`), at(`${layer.place.path}.b`)];
      const own = { a: lookup(params, pathA) as Tensor, b: lookup(params, pathB) as Tensor };
      const { a, b } = await doubled(start, layer, own, model);
      made.push([pathA, a], [pathB, b]);
    }
  } catch (error) {
    dispose([params, made]);
    throw error;
  }
  return overlay(params, nest(made) as Tree);
}

/** Replaces A and B by [A; A₀] and [B, −B₀]. */
async function doubled(
  start: Start,
  layer: StartedLayer,
  own: LoraFactors,
  model: Model,
): Promise<LoraFactors> {
  const lies = layer.place.kind === "linear" && layer.place.transposed;
  const first = await factorisedMatrix(model, layer.place, (w) => taken(start, w, layer, lies));
  const both = scope(() => ({
    a: concat([own.a, first.a]),
    b: concat([own.b, negate(first.b)], 1),
  }));
  dispose([first, own.a, own.b]);
  return both;
}

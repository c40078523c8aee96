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
  isQuantized,
  lookup,
  type MatrixPlace,
  type Method,
  type Model,
  nest,
  overlay,
  scope,
  sizesOf,
  Tensor,
  type Tree,
} from "../../core/mod.ts";
import { type LoraFactors, type LoraOptions, loraRank, loraScale } from "./lora.ts";
import { type PeftCodec, type PeftFields, wrong } from "../peft/codec.ts";
import { balanced } from "./balanced.ts";
import { concat, leading, matmul, negate, qr, slice, svd, transpose } from "../../ops/mod.ts";
import { factorisedMatrix } from "../shared/factorised_matrix.ts";

/** How the base was changed. */
export type Start = { readonly name: "pissa" | "olora" } | Loftq;

/** LoftQ of 4 or 8 bits, in T passes. */
export interface Loftq {
  readonly name: "loftq";
  readonly bits: 4 | 8;
  readonly passes: number;
}

/** A layer of the folder: its rank there, s, and whether PEFT changes its matrix. */
export interface StartedLayer {
  readonly place: MatrixPlace;
  readonly rank: number;
  readonly scale: number;
  readonly changes: boolean;
}

/** An initialization, bound to the layers of a model. */
export interface ChangedBase {
  readonly start: Start;
  readonly layers: readonly StartedLayer[];
  /** The method on the original base, where these layers have twice the rank. */
  method(doubled: readonly StartedLayer[]): Method;
}

/**
 * The initialization named in a config, if it changes the base.
 *
 * @throws {RangeError} when PEFT itself cannot repeat it from the folder, or not in this way.
 */
export function startOf(fields: PeftFields): Start | undefined {
  const value = fields["init_lora_weights"];
  if (typeof value !== "string") return undefined;
  const name = value.toLowerCase();
  const reason = name === "corda"
    ? "CorDA's start needs the activations it was made from, so PEFT cannot load the folder either"
    : name === "lora_ga"
    ? "LoRA-GA's start needs the gradients it was made from; PEFT loads the folder and leaves the base, which is another function"
    : /^pissa_niter_\d+$/.test(name)
    ? "a randomized SVD changed the base, and another draw, PEFT's own too, takes another part of it"
    : undefined;
  if (reason !== undefined) {
    throw new RangeError(
      `Cannot load an adapter with init_lora_weights "${value}": that changed the base's weights too. ${reason}; save it ` +
        "in PEFT with path_initial_model_for_weight_conversion, or merged",
    );
  }
  const known = name === "pissa" || name === "olora" || name === "loftq";
  if (known && Array.isArray(fields["layer_replication"])) {
    throw new RangeError(
      `Cannot load an adapter with init_lora_weights "${value}" and layer_replication: PEFT changes the matrices that copies of a ` +
        "layer share once for each copy, so that none fits its factors",
    );
  }
  if (name === "loftq") return loftqOf(fields["loftq_config"]);
  return name === "pissa" || name === "olora" ? { name } : undefined;
}

/** How LoftQ quantized the weights. */
function loftqOf(given: PeftFields[string] | undefined): Loftq {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    return wrong("loftq_config", "a record", given);
  }
  const { loftq_bits: bits = 4, loftq_iter: passes = 1 } = given as PeftFields;
  if (bits !== 4 && bits !== 8) return wrong("loftq_config.loftq_bits", "4 or 8", bits);
  if (typeof passes !== "number" || !Number.isInteger(passes) || passes < 1) {
    return wrong("loftq_config.loftq_iter", "a positive integer", passes);
  }
  return { name: "loftq", bits, passes };
}

/** The options that fit the folder's matrices, and their equivalent on the original base. */
export function changedBase(
  codec: PeftCodec<LoraOptions>,
  start: Start,
  options: LoraOptions,
  places: readonly MatrixPlace[],
  model: Model,
): { readonly options: LoraOptions; readonly changed: ChangedBase } {
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
      start,
      layers,
      method: (doubled) => {
        const all = layers.map((l) => doubled.includes(l) ? { ...l, rank: 2 * l.rank } : l);
        const twice = timesTwo(options);
        return codec.method(
          withRanks(twice, all.filter(({ place, rank }) => rank !== loraRank(place.path, twice))),
        );
      },
    },
  };
}

/** PEFT treats a Conv1D as a Linear here, and the factors of a non-square one then do not fit. */
function checkLies(start: Start, place: MatrixPlace): void {
  const { inFeatures, outFeatures } = sizesOf(place);
  const lies = place.kind === "embedding"
    ? start.name === "loftq"
    : place.kind === "linear" && place.transposed;
  if (!lies || (place.kind === "linear" && inFeatures === outFeatures)) return;
  throw new RangeError(
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
export function changedLayers(
  { start, layers }: ChangedBase,
  brings: (place: MatrixPlace) => boolean,
  model: Model,
): readonly StartedLayer[] {
  const found = layers.filter(({ place, changes }) => changes && !brings(place));
  for (const { place } of found) {
    if (place.kind === "head" && place.tiedTo !== undefined) {
      throw new RangeError(
        `Cannot load an adapter with init_lora_weights "${start.name}" on "${place.path}": its matrix is "${place.tiedTo}"'s, which ` +
          "PEFT changes along with it; save it there with path_initial_model_for_weight_conversion, or merged",
      );
    }
    if (start.name !== "olora" && isQuantizedLayer(place, model)) {
      throw new TypeError(
        `Cannot load an adapter with init_lora_weights "${start.name}" on the quantized weights of "${place.path}": PEFT cannot either; ` +
          "load it on the unquantized base",
      );
    }
  }
  return found;
}

/** Whether a layer's matrix is quantized. */
export const isQuantizedLayer = ({ path }: MatrixPlace, { weights }: Model): boolean => {
  const leaf = lookup(weights, `${path}.weight`);
  return leaf instanceof Tensor && isQuantized(leaf.dtype);
};

/**
 * The parameters with the subtracted initial products of these layers appended to the factors. The given
 * factors are freed.
 *
 * @param at The path of a layer's factors in the parameters.
 */
export async function doubledFactors(
  params: Tree,
  { start }: ChangedBase,
  layers: readonly StartedLayer[],
  at: (place: MatrixPlace) => string,
  model: Model,
): Promise<Tree> {
  const made: (readonly [string, Tensor])[] = [];
  try {
    for (const layer of layers) {
      const path = at(layer.place);
      const { a, b } = await doubled(start, layer, lookup(params, path) as LoraFactors, model);
      made.push([`${path}.a`, a], [`${path}.b`, b]);
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

/** A₀ [r, in] and B₀ [out, r] of W [out, in], which OLoRA factors as [in, out] if `lies`. */
export function taken(start: Start, w: Tensor, { rank, scale }: StartedLayer, lies: boolean): LoraFactors {
  if (start.name === "pissa") return balanced(leading(svd(w), rank), scale);
  // Q's first columns depend on those of the matrix alone, and R = Qᵀ W.
  const matrix = lies ? transpose(w) : w;
  const { q } = qr(slice(matrix, 1, 0, rank));
  const r = matmul(q, matrix, { transposeA: true });
  return lies ? { a: transpose(q), b: transpose(r) } : { a: r, b: q };
}

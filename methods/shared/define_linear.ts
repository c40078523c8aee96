/**
 * The skeleton that methods of linear layers share: targets, keys, values by pattern, dropout, embeddings, names in PEFT
 * folders. What is left to a method is its formula: the parameters of one layer, and what they add to its output or its matrix.
 */
import {
  byPattern,
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  type Edit,
  fn,
  fold,
  freshTargets,
  key as keyOf,
  leaves,
  type LinearCall,
  type LinearChange,
  type LinearMap,
  matrixAt,
  type MatrixPlace,
  type MethodBody,
  type MethodDefinition,
  type MethodSpec,
  paramsAt,
  type Shape,
  sizesOf,
  type TargetOptions,
  type Tensor,
  type Tree,
  type WeightCall,
} from "../../core/mod.ts";
import type { Filled, Options, OptionsOf } from "../../core/options/mod.ts";
import { dropout } from "../../ops/mod.ts";
import type { Initial } from "./initial.ts";
import { atPlaces, freshParams } from "./initial_factors.ts";
import { checkNotEmbedding } from "./not_embedding.ts";
import { TARGETS } from "./target_options.ts";
import { rangeError } from "../../errors/error.ts";

/** One layer's parameters by name: "a", or "frozen.positions" of one below another. */
export type LayerParams = Readonly<Record<string, Tensor>>;

/** What is known of a layer: its place, and its sizes; an embedding maps one-hot ids to rows. */
export type LayerShape = MatrixPlace & { readonly inFeatures: number; readonly outFeatures: number };

/** A method's own options, without those that choose layers. */
export type OwnOptions<O> = Filled<Omit<O, keyof TargetOptions>>;

/** What `defineLinear` is given. */
export interface LinearSpec<O extends TargetOptions, L extends LayerParams>
  extends Omit<MethodSpec<O>, "options" | "create"> {
  /** Every option of `O` but those that choose layers; `xPattern` gives `x` by layer. */
  readonly options: OptionsOf<Omit<O, keyof TargetOptions>>;
  /** Refuses options that do not go together. @throws {RangeError} */
  check?(options: OwnOptions<O>): void;
  /** Defaults that follow from other options, as an α from the rank. */
  follows?(options: OwnOptions<O>): Partial<OwnOptions<O>>;
  /** The parameters of a layer. @throws {RangeError} where a layer cannot have them. */
  params(layer: LayerShape, options: OwnOptions<O>): { readonly [K in keyof L]: Initial };
  /** What starts from the layer's matrix [out, in], in place of what `params` says. */
  start?(drawn: L, weight: () => Tensor, options: OwnOptions<O>, layer: LayerShape): Partial<L>;
  /** The linear map that is added: y = W x + b + map(dropout(x)). Merging, unmerging and counting follow from it. */
  map?(params: L, options: OwnOptions<O>, layer: LayerShape): LinearMap;
  /** What is added to y; `x` is the layer's input, after dropout. */
  delta?(params: L, call: LinearCall, options: OwnOptions<O>, layer: LayerShape): Tensor;
  /** The matrix that `delta` amounts to, where it can be merged. */
  weight?(params: L, call: WeightCall, options: OwnOptions<O>, layer: LayerShape): Tensor;
  /** The change itself, where it is of another form, or several of which each changes what the last one left. */
  change?(params: L, options: OwnOptions<O>, layer: LayerShape): LinearChange | readonly LinearChange[];
  /** How many of the layer's weights differ once it is merged, where not all of them do. */
  changes?(params: L): number;
  /** What training needs beside the edits: a penalty, a projection, rates. */
  training?(options: OwnOptions<O>): Omit<MethodBody, "init" | "edits">;
  /** Whether embeddings can be targets; default true. */
  readonly embeddings?: boolean;
  /** Whose key draws: each parameter's (default), or the layer's, where only one parameter is drawn. */
  readonly keys?: "parameter" | "layer";
}

/**
 * Defines a method of linear layers by the parameters of one layer and what they add. Its parameters are stored under
 * their layer's path: `model.layers.0.self_attn.q_proj.a`.
 *
 * @example
 * ```ts
 * import { adapt, count, type DefinedMethod, defineLinear, freshModel, initial, lowRank, merge, reference, smallConfig, type TargetOptions } from "@graft/peft";
 * import { option, count as size } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 *
 * // y = W x + b + B A x, LoRA without its scale.
 * const plain: DefinedMethod<TargetOptions & { readonly rank?: number }> = defineLinear({
 *   name: "plain-lora",
 *   summary: "Adds a product of two thin matrices.",
 *   options: { rank: option(size, "r, the rank", 4) },
 *   params: ({ inFeatures, outFeatures }, { rank: r }) => ({
 *     a: initial.kaiming([r, inFeatures]),
 *     b: initial.zeros([outFeatures, r]),
 *   }),
 *   map: ({ a, b }) => lowRank(a!, b!, 1),
 * });
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, plain({ rank: 2, targets: ["q_proj"] }));
 * assert.equal(count(model, adapter).trainable, 2 * 2 * (16 + 16)); // two layers
 * merge(model, adapter).dispose(); // nobody wrote a merge
 * ```
 */
export function defineLinear<O extends TargetOptions, L extends LayerParams = LayerParams>(
  spec: LinearSpec<O, L>,
): DefinedMethod<O> {
  const { params, check, follows: _, start, map, delta, weight, change, changes, training, ...rest } = spec;
  const { embeddings = true, keys = "parameter", options, ...known } = rest;
  const all = { ...TARGETS, ...options } as OptionsOf<O>;
  return defineMethod<O>({
    ...known,
    options: all,
    shapes: shapesOf(spec),
    create: (given) => {
      const own = withFollowing(spec, given as OwnOptions<O> & TargetOptions);
      check?.(own);
      const at = (place: MatrixPlace): OwnOptions<O> => ofLayer(own, place.path, options as Options);
      return {
        init: ({ model, key }) =>
          freshParams(() =>
            atPlaces(freshTargets(model.spec, own), (place) => {
              if (!embeddings) checkNotEmbedding(spec.name, place);
              const seed = fold(keyOf(key), place.path);
              const drawn = Object.fromEntries(
                Object.entries<Initial>(params(layerOf(place), at(place))).map(([name, start]) =>
                  [name, start.make(keys === "layer" ? seed : fold(seed, name), model.backend)] as const
                ),
              );
              const weight = (): Tensor => matrixAt(model, place);
              const own = start?.(drawn as L, weight, at(place), layerOf(place));
              return { ...drawn, ...own as LayerParams };
            })
          ),
        edits: (tree, spec) =>
          chooseTargets(spec, own).flatMap((place) => {
            const { path } = place;
            const here = Object.fromEntries(leaves(paramsAt(tree, path) as Tree)) as LayerParams as L;
            for (const name of Object.keys(params(layerOf(place), at(place)))) {
              if (!Object.hasOwn(here, name)) throw lacking(`${path}.${name}`);
            }
            return changesOf(here, at(place), layerOf(place)).map((change): Edit => ({
              kind: "linear",
              path,
              ...changes && { changes: changes(here) },
              change,
            }));
          }),
        ...training?.(own),
      };
    },
  });

  function changesOf(own: L, options: OwnOptions<O>, layer: LayerShape): readonly LinearChange[] {
    if (change !== undefined) return [change(own, options, layer)].flat();
    const p = (options as { readonly dropout?: number }).dropout ?? 0;
    if (map !== undefined) {
      return [{ form: "add", map: map(own, options, layer), ...p > 0 && { dropout: p } }];
    }
    return [{
      form: "delta",
      reads: "input",
      delta: fn(own, (own, call: LinearCall) => {
        const drops = call.train && call.key !== undefined && p > 0;
        return delta!(own, drops ? { ...call, x: dropout(call.x, p, call.key!) } : call, options, layer);
      }),
      ...weight && {
        weight: fn(own, (own, call: WeightCall) => weight(own, call, options, layer)),
      },
    }];
  }
}

const lacking = (path: string): RangeError =>
  rangeError(
    "ADAPTER_MISMATCH",
    `Cannot graft the adapter: it has no parameters for "${path}", so it was made for another model or with other options`,
  );

const layerOf = (place: MatrixPlace): LayerShape => ({ ...place, ...sizesOf(place) });

/** The options of one layer: what `xPattern` says of it for `x`, and `frequencyPattern` for `frequencies`. */
function ofLayer<O>(options: O, path: string, known: Options): O {
  const byLayer = Object.keys(known).filter((name) => name.endsWith("Pattern")).map((name) => {
    const stem = name.slice(0, -"Pattern".length);
    const own = Object.hasOwn(known, stem) ? stem : stem.replace(/y$/, "ies");
    const values = options as Readonly<Record<string, unknown>>;
    return [own, byPattern(values[name] as Readonly<Record<string, unknown>> | undefined, path, values[own])];
  });
  return { ...options, ...Object.fromEntries(byLayer) };
}

/** The options with the defaults that follow from them. */
function withFollowing<O extends TargetOptions, L extends LayerParams, Own extends OwnOptions<O>>(
  { follows }: LinearSpec<O, L>,
  options: Own,
): Own {
  return follows === undefined ? options : { ...options, ...follows(options) };
}

/** The shapes of a layer's parameters, for files. */
function shapesOf<O extends TargetOptions, L extends LayerParams>(
  spec: LinearSpec<O, L>,
): MethodDefinition["shapes"] & object {
  const { params, options } = spec;
  return (place, given): Readonly<Record<string, Shape>> => {
    const all = withFollowing(spec, given as OwnOptions<O>);
    const own = ofLayer(all, place.path, options as Options);
    return Object.fromEntries(
      Object.entries<Initial>(params(layerOf(place), own)).map(([name, { shape }]) => [name, shape]),
    );
  };
}

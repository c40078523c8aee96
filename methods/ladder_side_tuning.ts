/**
 * Ladder side-tuning. Sung, Cho and Bansal 2022, "LST: Ladder Side-Tuning for Parameter and Memory Efficient Transfer
 * Learning", arXiv 2206.06522, section 3.
 *
 *   s₀ = D₀ e(ids)     s_i = Block_i( μ_i s_{i−1} + (1 − μ_i) D_i h_i )     μ_i = σ(a_i / T)
 *   the head reads U norm(s_L) + b        h_i [b, t, d] the backbone's i-th block's output, s_i [b, t, d/ρ]
 *
 * The side blocks are of the model's own architecture, every width divided by ρ (heads keep their number). Nothing flows
 * back into the backbone: its states are read untracked. h_i is mixed in before side block i (modeling_side_t5.py). A layer
 * left out of `layers` has no block and no D, but still its gate.
 */
import {
  type Backend,
  fn,
  fold,
  key as keyOf,
  lookup,
  type Method,
  nest,
  onlyStack,
  scope,
  type SideCall,
  type Spec,
  type Synchronous,
  Tensor,
  type Tree,
  under,
} from "../core/mod.ts";
import { add, divide, multiply, ones, sigmoid, subtract, zeros } from "../ops/mod.ts";
import { type Affine, affine, freshAffine } from "./affine.ts";

/** Options of ladder side-tuning. */
export interface LadderSideTuningOptions {
  /** ρ, default 8. */
  readonly reduction?: number;
  /** T, default 0.1. */
  readonly temperature?: number;
  /** Blocks that get a side block; default all. */
  readonly layers?: readonly number[];
  /** Where side weights start, under the model's names; default as PyTorch starts layers. Missing ones start so too. */
  readonly start?: Tree;
}

/**
 * Ladder side-tuning as a method, for models with one stack. Parameters: `first` (D₀), `downs.<layer>`, `gates.<layer>`,
 * `up`, and `side` with the blocks and the last norm under the model's own names.
 *
 * @throws {RangeError} when the reduction does not divide the width, or leaves heads of odd size.
 * @example
 * ```ts
 * import { ladderSideTuning } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(ladderSideTuning({ reduction: 4 }).name, "ladderSideTuning");
 * ```
 */
export function ladderSideTuning(options: LadderSideTuningOptions = {}): Method {
  const { reduction = 8, temperature = 0.1, layers } = options;
  if (!Number.isInteger(reduction) || reduction < 1) {
    throw new RangeError(`Expected reduction to be a positive integer but found ${reduction}`);
  }
  if (!(temperature > 0)) throw new RangeError(`Expected temperature above 0 but found ${temperature}`);
  return {
    name: "ladderSideTuning",
    config: { reduction, temperature, ...layers && { layers } },
    init: ({ model, key }) =>
      scope((): Synchronous<Tree> => {
        const { backend, spec } = model;
        const stack = onlyStack(spec, "ladderSideTuning");
        checkSizes(spec, reduction);
        const [d, small] = [stack.width, stack.width / reduction];
        const layer = (path: string, out: number, inner: number) =>
          under(path, freshAffine(fold(keyOf(key), path), out, inner, backend));
        const every = Array.from({ length: stack.layers }, (_, i) => i);
        return nest([
          ...layer("first", small, d),
          ...chosen(layers, stack.layers).flatMap((i) => layer(`downs.${i}`, small, d)),
          ...every.map((i) => [`gates.${i}`, zeros([1], backend)] as const),
          ...layer("up", d, small),
          ...sideWeights(spec, options, (path, out, inner) =>
            freshAffine(fold(keyOf(key), path), out, inner, backend), backend),
        ]) as Tree;
      }),
    edits: (params, spec) => {
      const stack = onlyStack(spec, "ladderSideTuning");
      const blocks = chosen(layers, stack.layers).map((i) => ({
        i,
        path: spec.blocks.find((place) => place.layer === i)!.path,
      }));
      return [{
        kind: "side",
        path: stack.path,
        stack: stack.stack,
        run: fn(params as unknown as LadderParams, (p, call) => climbed(p, call, blocks, temperature)),
      }];
    },
  };
}

interface LadderParams {
  readonly first: Affine;
  readonly downs: Readonly<Record<string, Affine>>;
  readonly gates: Readonly<Record<string, Tensor>>;
  readonly up: Affine;
  readonly side: Tree;
}

function climbed(
  { first, downs, gates, up, side }: LadderParams,
  call: SideCall,
  blocks: readonly { readonly i: number; readonly path: string }[],
  temperature: number,
): Tensor {
  const s = blocks.reduce((s, { i, path }) => {
    const μ = sigmoid(divide(gates[i]!, temperature)); // [1]
    const mix = add(multiply(μ, s), multiply(subtract(1, μ), affine(downs[i]!, call.tap(i)))); // [b, t, d/ρ]
    return call.block(lookup(side, path) as Tree, mix, String(i));
  }, affine(first, call.tap(-1)));
  return affine(up, call.finish(side, s)); // [b, t, d]
}

/** The side network's weights: each linear layer of the kept blocks, each norm, and the last norm, at 1/ρ of the size. */
function sideWeights(
  spec: Spec,
  { reduction = 8, layers, start }: LadderSideTuningOptions,
  fresh: (path: string, out: number, inner: number) => Affine,
  backend: Backend,
): readonly (readonly [string, Tensor])[] {
  const kept = chosen(layers, onlyStack(spec, "ladderSideTuning").layers);
  const here = (place: { readonly layer?: number }): boolean =>
    place.layer === undefined || kept.includes(place.layer);
  const small = (n: number): number => Math.floor(n / reduction);
  const own = [
    ...spec.linears.filter(here).flatMap(({ path, inFeatures, outFeatures, transposed, bias }) => {
      const layer = fresh(path, small(outFeatures), small(inFeatures));
      const weight = transposed ? fresh(path, small(inFeatures), small(outFeatures)).weight : layer.weight;
      return [[`${path}.weight`, weight] as const, ...bias ? [[`${path}.bias`, layer.bias] as const] : []];
    }),
    ...spec.norms.filter(here).flatMap(({ path, width, bias }) => [
      [`${path}.weight`, ones([small(width)], backend)] as const,
      ...bias ? [[`${path}.bias`, zeros([small(width)], backend)] as const] : [],
    ]),
  ];
  return own.map(([path, t]) => {
    const given = start === undefined ? undefined : lookup(start, path);
    return [`side.${path}`, given instanceof Tensor ? given : t] as const;
  });
}

const chosen = (layers: readonly number[] | undefined, n: number): readonly number[] =>
  Array.from({ length: n }, (_, i) => i).filter((i) => layers === undefined || layers.includes(i));

/** Rotary positions turn pairs, so heads must stay of even size. */
function checkSizes(spec: Spec, reduction: number): void {
  const { width } = onlyStack(spec, "ladderSideTuning");
  if (width % reduction !== 0) {
    throw new RangeError(`Expected reduction to divide the width ${width} but found ${reduction}`);
  }
  for (const { headDim, path } of spec.attentions) {
    if (headDim % (2 * reduction) !== 0) {
      throw new RangeError(
        `Cannot divide the heads at "${path}" by ${reduction}: their size ${headDim} must stay an even integer`,
      );
    }
  }
}

/**
 * Ladder side-tuning. Sung, Cho and Bansal 2022, "LST: Ladder Side-Tuning for Parameter and Memory Efficient Transfer
 * Learning", arXiv 2206.06522, section 3.
 *
 *   s₀ = D₀ e(ids)     s_i = Block_i( μ_i s_{i−1} + (1 − μ_i) D_i h_i )     μ_i = σ(a_i / T)
 *   the head reads U norm(s_L) + b        h_i [b, t, d] the backbone's i-th block's output, s_i [b, t, d/ρ]
 *
 * The side blocks are of the model's own architecture, every width divided by ρ (the number of heads stays
 * the same). No gradient flows into the backbone: its states are read untracked. h_i is mixed in before side
 * block i (modeling_side_t5.py). A layer not in `layers` has no block and no D, but still its gate. An
 * encoder-decoder model (T5) has two ladders with their own tables of relative positions: the encoder's ends
 * at its last norm, and the decoder's blocks attend to its output.
 */
import {
  adapt,
  type Backend,
  type DefinedMethod,
  defineMethod,
  dispose,
  fn,
  fold,
  key as keyOf,
  leaves,
  lookup,
  nest,
  paramsAt,
  scope,
  type Shape,
  type SideCall,
  type SideEdit,
  type Spec,
  type StackPlace,
  type Synchronous,
  Tensor,
  type Tree,
  under,
} from "../../core/mod.ts";
import {
  bounded,
  count,
  filled,
  type JsonOptions,
  list,
  made,
  number,
  option,
  optionsFromJson,
  positive,
} from "../../core/options/mod.ts";
import { add, divide, multiply, normal, ones, sigmoid, subtract, zeros } from "../../ops/mod.ts";
import { type Affine, affine, freshAffine } from "../shared/affine.ts";
import { sideReduction } from "../shared/model_sizes.ts";
import { checkLayers, checkPlaces, checkSizes } from "./ladder_checks.ts";
import { besideMost, FIRST, type FirstWeights, mostInformative } from "./ladder_start.ts";
import { prunedSide } from "./pruned_side.ts";
import { sidePlaces } from "./side_weights.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of ladder side-tuning. */
export interface LadderSideTuningOptions {
  /** ρ, default 8. */
  readonly reduction?: number;
  /** T, default 0.1. */
  readonly temperature?: number;
  /** Blocks that get a side block, in each stack; default all. */
  readonly layers?: readonly number[] | undefined;
  /**
   * Initial side weights, under the model's names; those missing, by default all, are initialized as in
   * PyTorch.
   */
  readonly start?: Tree | undefined;
}

/**
 * Ladder side-tuning as a method. Parameters: `first` (D₀), `downs.<layer>`, `gates.<layer>`, with two
 * stacks, each under the stack's name, `up`, and `side` with the blocks and the last norms under the model's
 * own names.
 *
 * @throws {RangeError} when the reduction does not divide the width or results in an odd head size, or
 * `layers` names a block that no stack has.
 * @example
 * ```ts
 * import { ladderSideTuning } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(ladderSideTuning({ reduction: 4 }).name, "ladder-side-tuning");
 * ```
 */
export const ladderSideTuning: DefinedMethod<LadderSideTuningOptions> = defineMethod<LadderSideTuningOptions>(
  {
    name: "ladder-side-tuning",
    summary: "Trains a small network beside the model, which reads each block's output.",
    facts: {
      parameters: "the blocks and last norm at width d/ρ, and the ways down and up",
      "gradient through the base": "none",
    },
    title: "Ladder side-tuning",
    aliases: ["ladder-side", "lst"],
    options: {
      reduction: option(bounded(count, "width"), "ρ, how many times narrower the side network is", 8),
      temperature: option(positive, "T, how sharply gates open and close", 0.1),
      layers: option(list(bounded(number, "blocks")), "blocks beside which there is one; by default all"),
      start: option(made<Tree>("a tree of weights"), "first weights of the side network"),
    },
    create: ({ reduction, temperature, layers, start }) => ({
      init: ({ model, key }) =>
        scope((): Synchronous<Tree> => {
          const { backend, spec } = model;
          checkPlaces(spec);
          checkSizes(spec, reduction);
          checkLayers(spec, layers);
          const fresh = (path: string, out: number, inner: number): Affine =>
            freshAffine(fold(keyOf(key), path), out, inner, backend);
          const layer = (path: string, out: number, inner: number) => under(path, fresh(path, out, inner));
          const { width: d } = spec.stacks.at(-1)!;
          // Initialized as in T5.
          const table = (path: string, shape: Shape): Tensor =>
            normal(fold(keyOf(key), path), shape, backend, 1 / Math.sqrt(d / reduction));
          return nest([
            ...spec.stacks.flatMap((stack) => {
              const own = ofStack(spec, stack);
              const [width, small] = [stack.width, stack.width / reduction];
              return [
                ...layer(`${own}first`, small, width),
                ...chosen(layers, stack.layers).flatMap((i) => layer(`${own}downs.${i}`, small, width)),
                ...Array.from({ length: stack.layers }, (_, i) =>
                  [`${own}gates.${i}`, zeros([1], backend)] as const),
              ];
            }),
            ...layer("up", d, d / reduction),
            ...sideWeights(spec, { reduction, layers, start }, fresh, table, backend),
          ]) as Tree;
        }),
      edits: (params, spec) => {
        const last = spec.stacks.at(-1);
        const { up, side } = params as Pick<LadderParams, "up" | "side">;
        const shares = tablesOf(spec).length > 0;
        return spec.stacks.map((stack): SideEdit => {
          const blocks = chosen(layers, stack.layers).map((i) => ({
            i,
            path: spec.blocks.find((place) => place.stack === stack.stack && place.layer === i)!.path,
          }));
          const own = spec.stacks.length === 1 ? params : paramsAt(params, stack.stack) as Tree;
          const first = paramsAt(own, "first") as Affine;
          const { downs, gates } = own as Tree & Ladder;
          const ladder = { first, downs, gates, side };
          const lacks = blocks.find(({ i, path }) =>
            gates[i] === undefined || lookup(side, path) === undefined
          );
          if (lacks !== undefined) {
            throw rangeError(
              "ADAPTER_MISMATCH",
              `Cannot place ladder-side-tuning on ${spec.architecture}: its side network has no block "${lacks.path}", so it ` +
                "was made for another model",
            );
          }
          const at = { kind: "side", path: stack.path, stack: stack.stack } as const;
          return stack === last
            ? {
              ...at,
              run: fn({ ...ladder, up }, ({ up, ...ladder }, call) =>
                affine(up, climbed(ladder, call, blocks, temperature, shares))), // [b, t, d]
            }
            : {
              ...at,
              gives: "memory",
              run: fn(ladder, (p, call) => climbed(p, call, blocks, temperature, shares)),
            };
        });
      },
    }),
    restore: ({ reduction, temperature, layers }) =>
      ladderSideTuning(
        optionsFromJson({ reduction, temperature, ...layers !== undefined && { layers } } as JsonOptions),
      ),
    // A side network had weights for the head's inner layer and for norms outside the blocks, which it does not use.
    former: (path, { linears, norms }) =>
      [
        ...linears.filter(({ layer }) => layer === undefined),
        ...norms.filter(({ layer, position = "end" }) => layer === undefined && position !== "end"),
      ].flatMap((place) => [`side.${place.path}.weight`, `side.${place.path}.bias`])
        .some((name) => path === name || path.endsWith(`.${name}`)),
    cli: {
      rate: 1e-3,
      flags: [],
      also: FIRST,
      options: (_, spec) => ({ reduction: sideReduction(spec) }),
    },
    prepare: async ({ model, options, batches, gradients, seed }) => {
      const { initialization, importance, examples, ...own } = filled(
        options,
        FIRST,
      ) as unknown as FirstWeights;
      const method = ladderSideTuning(own);
      if (initialization === "random") return { adapter: adapt(model, method, seed) };
      const start = importance === "magnitude"
        ? await prunedSide(model, { reduction: own.reduction })
        : await mostInformative(model, own.reduction, batches(examples, gradients && 1), examples, gradients);
      const { params } = adapt(model, ladderSideTuning({ ...own, start }), seed);
      // Weights of blocks not in `layers` are unused.
      const taken = new Set(leaves(params).map(([, t]) => t.storage));
      dispose(leaves(start).map(([, t]) => t).filter((t) => !taken.has(t.storage)));
      return { adapter: { name: "default", method, params } };
    },
    plan: ({ options: { initialization: _, importance: __, examples: ___, ...own } }) =>
      ladderSideTuning(own),
    survey: {
      kinds: "A",
      storage: "yes",
      memory: "yes",
      backward: "yes",
      overhead: "Extra decoder",
      trainable: "7.5",
      changed: "7.5",
      differs: "7.5 % is BART-base at d/4 on pictures and text; T5-base at d/8 is 1.74 %",
    },
    published: {
      setting: ({ spec }) => `a network of d/${sideReduction(spec)} beside 3 blocks of 4`,
      options: ({ spec }) => ({ reduction: sideReduction(spec), ...besideMost(spec) }),
    },
  },
);

/** The parameter path of a stack's ladder: a single ladder has no prefix. */
const ofStack = ({ stacks }: Spec, { stack }: StackPlace): string => stacks.length === 1 ? "" : `${stack}.`;

/** Tables inside blocks that all blocks of a stack share: T5's relative positions. */
const tablesOf = ({ embeddings }: Spec) => embeddings.filter(({ layer }) => layer !== undefined);

interface Ladder {
  readonly first: Affine;
  readonly downs: Readonly<Record<string, Affine>>;
  readonly gates: Readonly<Record<string, Tensor>>;
}

interface LadderParams extends Ladder {
  readonly up: Affine;
  readonly side: Tree;
}

/** The states of a side network after its last norm [b, t, d/ρ]. */
function climbed(
  { first, downs, gates, side }: Omit<LadderParams, "up">,
  call: SideCall,
  blocks: readonly { readonly i: number; readonly path: string }[],
  temperature: number,
  shares: boolean,
): Tensor {
  const s = blocks.reduce((s, { i, path }) => {
    const mix = scope(() => {
      const μ = sigmoid(divide(gates[i]!, temperature)); // [1]
      const h = affine(downs[i]!, call.tap(i)); // [b, t, d/ρ]
      return add(h, multiply(μ, subtract(s, h))); // μ s + (1 − μ) h, which keeps one state for μ's derivative
    });
    return call.block(lookup(side, path) as Tree, mix, String(i), shares ? side : undefined);
  }, affine(first, call.tap(-1)));
  return call.finish(side, s);
}

/**
 * The side network's weights: each linear layer of the kept blocks, each norm, and the last norms, at 1/ρ of
 * the size; tables of relative positions are unchanged, since the number of heads is.
 */
function sideWeights(
  spec: Spec,
  { reduction = 8, layers, start }: LadderSideTuningOptions,
  fresh: (path: string, out: number, inner: number) => Affine,
  table: (path: string, shape: Shape) => Tensor,
  backend: Backend,
): readonly (readonly [string, Tensor])[] {
  const here = ({ layer }: { readonly layer?: number }): boolean =>
    layer === undefined || layers === undefined || layers.includes(layer);
  const small = (n: number): number => Math.floor(n / reduction);
  const { linears, norms } = sidePlaces(spec);
  const own = [
    ...linears.filter(here).flatMap(({ path, inFeatures, outFeatures, transposed, bias }) => {
      const layer = fresh(path, small(outFeatures), small(inFeatures));
      const weight = transposed ? fresh(path, small(inFeatures), small(outFeatures)).weight : layer.weight;
      return [[`${path}.weight`, weight] as const, ...bias ? [[`${path}.bias`, layer.bias] as const] : []];
    }),
    ...norms.filter(here).flatMap(({ path, width, bias, neutral = 1 }) => [
      [`${path}.weight`, (neutral === 0 ? zeros : ones)([small(width)], backend)] as const,
      ...bias ? [[`${path}.bias`, zeros([small(width)], backend)] as const] : [],
    ]),
  ];
  const tables = tablesOf(spec).map(({ path, rows, width }) =>
    [`${path}.weight`, table(path, [rows, width])] as const
  );
  return [...own, ...tables].map(([path, t]) => {
    const given = start === undefined ? undefined : lookup(start, path);
    return [`side.${path}`, given instanceof Tensor ? given : t] as const;
  });
}

const chosen = (layers: readonly number[] | undefined, n: number): readonly number[] =>
  Array.from({ length: n }, (_, i) => i).filter((i) => layers === undefined || layers.includes(i));

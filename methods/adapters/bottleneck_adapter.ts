/**
 * Bottleneck adapters of every wiring, as AdapterHub's `BnConfig` describes them (Poth et al. 2023,
 * "Adapters: A Unified Library for Parameter-Efficient and Modular Transfer Learning", arXiv 2311.11077,
 * section 4.1); its presets are separate methods.
 *
 *   h ← r + s ⊙ U σ(D N(z))          z the input: h, LN(h + x) or x        r the residual: h, LN(h + x) or h + x
 *
 * h is the output of a part of a block and x what will be added to it. N is a norm of the adapter or absent;
 * there may be another after the branch or after the sum. D and U may be sums of Kronecker products (PHM,
 * arXiv 2102.08597). With `residual: "dropped"` the block's own addition of x is undone, which requires a
 * block without a norm after it.
 */
import {
  type Backend,
  type DefinedMethod,
  fold,
  type HiddenCall,
  type Key,
  reading,
  type Spec,
  type SublayerPlace,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import {
  any,
  bounded,
  count,
  fields,
  type Filled,
  list,
  number,
  oneOf,
  option,
  positive,
  probability,
  record,
} from "../../core/options/mod.ts";
import { add, dropout, layerNorm, multiply, normal, ones, subtract, zeros } from "../../ops/mod.ts";
import { activationOption, afterOption } from "../shared/adapter_options.ts";
import { type Affine, affine } from "../shared/affine.ts";
import { type Activation, activation, bottleneckRank, freshBottleneck } from "../shared/bottleneck.ts";
import { type AdapterPosition, defineHidden } from "../shared/define_hidden.ts";
import { rankSchema } from "../shared/target_options.ts";
import { checkPhm, freshFactoredPhm, freshPhm, type Phm, phm } from "./phm.ts";
import { rangeError } from "../../errors/error.ts";

/** Where an adapter may have a norm of its own. */
export type AdapterNorm = "before" | "branch" | "whole";

/** Options of bottleneck adapters. */
export interface BottleneckAdapterOptions {
  /** After which parts of a block, default ["feedForward"]. */
  readonly after?: readonly AdapterPosition[];
  /** d / r, default 16, or by block: its number (an encoder's blocks first), else "default". */
  readonly reduction?: number | Readonly<Record<string, number>>;
  /** σ, default "relu". */
  readonly activation?: Activation;
  /** z: "output" (default), "normed" or "residual", which runs parallel to the part. */
  readonly reads?: "output" | "normed" | "residual";
  /** r: "output" (default), "normed", or "sum" of h and x. */
  readonly keeps?: "output" | "normed" | "sum";
  /** Norms of the adapter: before D, after the branch, or after the sum of r and the branch. */
  readonly norms?: readonly AdapterNorm[];
  /**
   * s: a number (default 1), or trained starting from 1, as one scalar ("learned") or one per feature
   * ("channel").
   */
  readonly scale?: number | "learned" | "channel";
  /** Whether the block adds x afterwards (default). */
  readonly residual?: "added" | "dropped";
  /** Probability of dropping an element of the branch in training, default 0. */
  readonly dropout?: number;
  /** Probability of dropping a text's whole branch in training, default 0. */
  readonly branchDropout?: number;
  /**
   * D and U as sums of n Kronecker products: blocks of a rank or "full", one rule for all ("shared") or one
   * per layer ("own").
   */
  readonly phm?: {
    readonly dimension: number;
    readonly rank: number | "full";
    readonly rule: "shared" | "own";
  } | undefined;
}

type Layer = Affine | (Phm & { readonly rule?: Tensor });

/** One place's parameters. */
type Parts = {
  readonly down: Layer;
  readonly up: Layer;
  readonly scale?: Tensor;
  readonly norms?: { readonly [name in AdapterNorm]?: Affine };
  /** Of all places. */
  readonly rule?: Tensor;
};

/**
 * Bottleneck adapters as a method. Parameters under each part's path: `down.weight` [r, d], `down.bias`, `up.weight`, `up.bias`
 * (with `phm` as in `compacter` and `phmAdapter`), `scale` [1] or [d], `norms.<place>.weight` and `.bias` [d].
 *
 * @throws {RangeError} when a number is out of range, or at init when a model has no such parts or n does not divide d and r.
 * @example
 * ```ts
 * import { bottleneckAdapter } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(bottleneckAdapter({ reads: "normed", keeps: "sum" }).name, "bottleneck-adapter");
 * ```
 */
export const bottleneckAdapter: DefinedMethod<BottleneckAdapterOptions> = defineHidden<
  BottleneckAdapterOptions,
  Parts
>({
  name: "bottleneck-adapter",
  summary: "Adds a small two-layer network after parts of each block, in any form that papers have.",
  facts: { parameters: "every other wiring of AdapterHub's `BnConfig`" },
  aliases: ["bottleneck", "bn"],
  title: "bottleneck adapter",
  options: {
    after: afterOption("feedForward"),
    reduction: option(
      any(positive, record(positive)),
      'd / r, or by block, with "default" for the others',
      16,
    ),
    activation: activationOption("relu"),
    reads: option(oneOf("output", "normed", "residual"), "what it reads: h, LN(h + x), or x", "output"),
    keeps: option(
      oneOf("output", "normed", "sum"),
      "what the branch is added to: h, LN(h + x), or h + x",
      "output",
    ),
    norms: option(
      list(oneOf("before", "branch", "whole")),
      "its own norms: before D, of the branch, of the sum",
      [],
    ),
    scale: option(
      any(number, oneOf("learned", "channel")),
      "s, or one trained scalar, or one per feature",
      1,
    ),
    residual: option(oneOf("added", "dropped"), "whether the block adds x afterwards", "added"),
    dropout: option(probability, "dropout of the branch's elements in training", 0),
    branchDropout: option(probability, "probability of dropping a text's whole branch in training", 0),
    phm: option(
      fields<NonNullable<BottleneckAdapterOptions["phm"]>>({
        dimension: bounded(count, "factors"),
        rank: any(rankSchema, oneOf("full")),
        rule: oneOf("shared", "own"),
      }),
      "D and U as sums of n Kronecker products",
    ),
  },
  after: ({ after }) => after,
  fits: (place, { phm: sums, reduction }, spec) => {
    if (sums === undefined) return;
    const r = rankAt(place, reduction, spec);
    checkPhm({ inFeatures: place.width, outFeatures: r, dimension: sums.dimension });
  },
  shared: ({ phm: sums }, { key, backend }): Tree =>
    sums?.rule === "shared" ? { rule: rule(key, sums.dimension, 1e-4, backend) } : {},
  params: (place, options, { key, backend }, spec) =>
    fresh(key, place.width, rankAt(place, options.reduction, spec), options, backend),
  reads: ({ reads }) => reads,
  delta: change,
});

function change(
  own: Parts,
  call: HiddenCall,
  { reads, keeps, residual, scale, activation: σ, dropout: p, branchDropout }: Filled<
    BottleneckAdapterOptions
  >,
): Tensor {
  const normed = (name: AdapterNorm, t: Tensor): Tensor => {
    const norm = own.norms?.[name];
    return norm === undefined ? t : layerNorm(t, norm.weight, norm.bias, 1e-5);
  };
  const key = call.train ? call.key : undefined;
  const layer = (at: Layer, x: Tensor): Tensor =>
    "weight" in at ? affine(at, x) : phm((at.rule ?? own.rule)!, at, x);
  const z = reading(call, reads); // [b, t, d]
  const up = layer(own.up, activation(σ)(layer(own.down, normed("before", z))));
  const s = own.scale ?? scale as number;
  const scaled = s === 1 ? up : multiply(up, s);
  const kept = key === undefined || branchDropout === 0 ? scaled : multiply(
    scaled,
    dropout(ones([up.shape[0]!, 1, 1], up.backend), branchDropout, fold(key, "branch")),
  );
  const branch = normed(
    "branch",
    key === undefined || p === 0 ? kept : dropout(kept, p, fold(key, "dropout")),
  );
  const x = call.skip;
  const moved = (r: Tensor): Tensor => subtract(normed("whole", add(r, branch)), call.y);
  const delta = keeps === "output" && own.norms?.whole === undefined
    ? branch
    : keeps === "normed"
    ? moved(reading(call, "normed"))
    : moved(keeps === "sum" && x !== undefined ? add(call.y, x) : call.y);
  return residual === "dropped" && x !== undefined ? subtract(delta, x) : delta;
}

/** r of a place; an encoder's blocks are numbered before a decoder's. */
function rankAt(
  { stack, layer = 0, width }: SublayerPlace,
  reduction: number | Readonly<Record<string, number>>,
  spec: Spec,
): number {
  if (typeof reduction === "number") return bottleneckRank(width, reduction);
  const before = spec.stacks.find(({ stack }) => stack === "encoder")?.layers ?? 0;
  const n = reduction[stack === "decoder" ? before + layer : layer] ?? reduction["default"];
  if (n !== undefined) return bottleneckRank(width, n);
  throw rangeError(
    "INVALID_ARGUMENT",
    `Expected a reduction for block ${layer} of the ${stack} or a "default" but found neither`,
  );
}

const rule = (key: Key, n: number, deviation: number, backend: Backend): Tensor =>
  normal(fold(key, "rule"), [n, n, n], backend, deviation);

function fresh(
  key: Key,
  width: number,
  r: number,
  { phm: sums, scale, norms }: Filled<BottleneckAdapterOptions>,
  backend: Backend,
) {
  const sum = (name: string, inFeatures: number, outFeatures: number) => {
    const { dimension, rank, rule: whose } = sums!;
    const sizes = { inFeatures, outFeatures, dimension };
    const seed = fold(key, name);
    return {
      ...whose === "own" && { rule: rule(seed, dimension, 0.01, backend) },
      ...rank === "full" ? freshPhm(seed, sizes, backend) : freshFactoredPhm(seed, sizes, rank, backend),
    };
  };
  return {
    ...sums === undefined
      ? freshBottleneck(key, width, r, backend)
      : { down: sum("down", width, r), up: sum("up", r, width) },
    ...typeof scale === "string" && { scale: ones([scale === "learned" ? 1 : width], backend) },
    ...norms.length > 0 && {
      norms: Object.fromEntries(
        norms.map((name) => [name, { weight: ones([width], backend), bias: zeros([width], backend) }]),
      ),
    },
  };
}

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
  fn,
  fold,
  type HiddenCall,
  type HiddenEdit,
  type Key,
  key as keyOf,
  type Method,
  paramsAt,
  reading,
  type SublayerPlace,
  type Tensor,
  under,
} from "../../core/mod.ts";
import { add, dropout, layerNorm, multiply, normal, ones, subtract, zeros } from "../../ops/mod.ts";
import { type Affine, affine } from "../shared/affine.ts";
import { type Activation, activation, bottleneckRank, freshBottleneck } from "../shared/bottleneck.ts";
import { type AdapterPosition, adapterSites } from "./houlsby.ts";
import { checkPhm, freshFactoredPhm, freshPhm, type Phm, phm } from "./phm.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive, checkProbability } from "../shared/option_checks.ts";

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
  readonly norms?: readonly ("before" | "branch" | "whole")[];
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
  };
}

type Layer = Affine | (Phm & { readonly rule?: Tensor });

/** One place's parameters. */
type Parts = {
  readonly down: Layer;
  readonly up: Layer;
  readonly scale?: Tensor;
  readonly norms?: { readonly [name in "before" | "branch" | "whole"]?: Affine };
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
 * assert.equal(bottleneckAdapter({ reads: "normed", keeps: "sum" }).name, "bottleneckAdapter");
 * ```
 */
export function bottleneckAdapter(options: BottleneckAdapterOptions = {}): Method {
  const { after = ["feedForward"], reduction = 16, reads = "output", scale = 1, phm: sums } = options;
  const { dropout: p = 0, branchDropout = 0 } = options;
  for (const factor of typeof reduction === "number" ? [reduction] : Object.values(reduction)) {
    if (!(factor > 0)) throw new RangeError(`Expected reduction above 0 but found ${factor}`);
  }
  if (typeof scale === "number" && !Number.isFinite(scale)) {
    throw new RangeError(`Expected scale to be a finite number, "learned" or "channel" but found ${scale}`);
  }
  checkProbability("dropout", p);
  checkProbability("branchDropout", branchDropout);
  if (sums !== undefined) {
    checkPositive("dimension", sums.dimension);
    if (sums.rank !== "full") checkPositive("rank", sums.rank);
  }
  return {
    name: "bottleneckAdapter",
    config: { ...options },
    init: ({ model: { spec, backend }, key }) =>
      freshParams(() => {
        const sites = adapterSites(spec, "bottleneckAdapter", after);
        const before = spec.stacks.find(({ stack }) => stack === "encoder")?.layers ?? 0;
        for (const place of sums === undefined ? [] : sites) {
          const r = bottleneckRank(place.width, reductionAt(reduction, place, before));
          checkPhm({ inFeatures: place.width, outFeatures: r, dimension: sums!.dimension });
        }
        return [
          ...sums?.rule === "shared"
            ? [["rule", rule(keyOf(key), sums.dimension, 1e-4, backend)] as const]
            : [],
          ...sites.flatMap((place) => {
            const r = bottleneckRank(place.width, reductionAt(reduction, place, before));
            return under(place.path, fresh(fold(keyOf(key), place.path), place.width, r, options, backend));
          }),
        ];
      }),
    edits: (params, spec) =>
      adapterSites(spec, "bottleneckAdapter", after).map(({ path }): HiddenEdit => ({
        kind: "hidden",
        path,
        reads,
        delta: fn(
          {
            ...paramsAt(params, path) as Parts,
            ...sums?.rule === "shared" && { rule: params["rule"] as Tensor },
          },
          (own: Parts & { readonly rule?: Tensor }, call) => change(own, call, options),
        ),
      })),
  };
}

function change(
  own: Parts & { readonly rule?: Tensor },
  call: HiddenCall,
  { reads = "output", keeps = "output", residual = "added", scale = 1, ...options }: BottleneckAdapterOptions,
): Tensor {
  const { activation: σ = "relu", dropout: p = 0, branchDropout = 0 } = options;
  const normed = (name: "before" | "branch" | "whole", t: Tensor): Tensor => {
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

function reductionAt(
  reduction: number | Readonly<Record<string, number>>,
  { stack, layer = 0 }: SublayerPlace,
  before: number,
): number {
  if (typeof reduction === "number") return reduction;
  const n = reduction[stack === "decoder" ? before + layer : layer] ?? reduction["default"];
  if (n !== undefined) return n;
  throw new RangeError(
    `Expected a reduction for block ${layer} of the ${stack} or a "default" but found neither`,
  );
}

const rule = (key: Key, n: number, deviation: number, backend: Backend): Tensor =>
  normal(fold(key, "rule"), [n, n, n], backend, deviation);

function fresh(
  key: Key,
  width: number,
  r: number,
  { phm: sums, scale = 1, norms = [] }: BottleneckAdapterOptions,
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

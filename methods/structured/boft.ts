/**
 * BOFT. Liu et al. 2023, "Parameter-Efficient Orthogonal Finetuning via Butterfly Factorization", arXiv 2311.06243.
 *
 *   y = s ⊙ W Rᵀ x + b        R = M_m … M_1        M_i = P_i diag(C_i1, …, C_in) P_iᵀ        s [out]
 *
 * The blocks C [c, c] are Cayley transforms of the skew part of free matrices, zero initially; the
 * permutations P_i double the reach of each factor, so that m factors mix pieces of 2^(m−1) c inputs. s, one
 * initially, is what PEFT adds; it does not scale the bias. PEFT without its CUDA kernel uses m = 1 whatever
 * the config says; here m is as requested.
 */
import {
  blockDiagonal,
  chain,
  chunkShuffle,
  type DefinedMethod,
  fn,
  type Key,
  type LinearChange,
  type LinearMap,
  type TargetOptions,
  type Tensor,
  tensor,
  threefry,
} from "../../core/mod.ts";
import { bounded, count, option, probability } from "../../core/options/mod.ts";
import { cayley } from "../../numerics/cayley.ts";
import { multiply, reshape, slice, subtract, transpose } from "../../ops/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { ones, zeros } from "../shared/initial.ts";
import { type Blocks, blocksOf, blocksSchema } from "./blocks.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of BOFT. */
export interface BoftOptions extends TargetOptions {
  /** Default pieces of 4. */
  readonly blocks?: Blocks;
  /** m, default 1: one factor, no butterfly. */
  readonly factors?: number;
  /**
   * In training ⌊share · n⌋ blocks of one factor, both redrawn in each pass, are set to the identity. Default
   * 0.
   */
  readonly dropout?: number;
}

/** One layer's parameters: r [m, n, c, c], s [out]. */
export type BoftParams = { readonly r: Tensor; readonly s: Tensor };

/**
 * BOFT as a method. Parameters: `r` and `s` under each layer's path. Linear layers only.
 *
 * @throws {RangeError} when blocks or factors do not divide a layer's input, targets match nothing, or a target is an
 * embedding.
 * @example
 * ```ts
 * import { boft } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(boft({ blocks: { size: 4 }, factors: 2 }).name, "boft");
 * ```
 */
export const boft: DefinedMethod<BoftOptions> = defineLinear<BoftOptions, BoftParams>({
  name: "boft",
  summary: "Turns weights by sparse orthogonal factors in the pattern of a butterfly.",
  facts: { parameters: "m c in + out", merges: "yes" },
  title: "BOFT",
  options: {
    blocks: option(blocksSchema, "the pieces of an input that are rotated, by size or number", { size: 4 }),
    factors: option(bounded(count, "depth"), "m, the number of butterfly factors; 1 mixes no blocks", 1),
    dropout: option(probability, "the share of a factor's blocks that are left out in training", 0),
  },
  embeddings: false,
  params: (layer, { blocks, factors: m }) => {
    const { size, count } = blocksOf("boft", layer, blocks);
    if (m > 1 && (size % 2 !== 0 || count % 2 ** (m - 1) !== 0)) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot put ${m} butterfly factors on "${layer.path}": its ${count} blocks of ${size} must be even and divisible by ${
          2 ** (m - 1)
        }`,
      );
    }
    return { r: zeros([m, count, size, size]), s: ones([layer.outFeatures]) };
  },
  change: ({ r, s }, { dropout }, { inFeatures }) => {
    const kept = r.shape[1]! - Math.floor(dropout * r.shape[1]!);
    const rotated: LinearChange = {
      form: "input",
      map: butterfly(inFeatures, r, false),
      inverse: butterfly(inFeatures, r, true),
      ...kept < r.shape[1]! && {
        dropped: fn({ r }, ({ r }, { key }) => butterfly(inFeatures, withoutSome(r, kept, key!), false)),
      },
    };
    return [rotated, scaled(s)];
  },
  cli: { rate: 1e-3, flags: ["targets"] },
  published: { setting: "blocks of 4 on q and v" },
});

/** Sets some blocks of one factor to zero; the transform of a zero block is the identity. */
function withoutSome(r: Tensor, kept: number, key: Key): Tensor {
  const [m, n] = [r.shape[0]!, r.shape[1]!];
  const draws = Array.from({ length: n + 1 }, (_, i) => threefry(key, i, 0)[0] >>> 0);
  const factor = Math.floor(m * draws[n]! / 2 ** 32);
  const order = draws.slice(0, n).map((draw, block) => ({ draw, block })).sort((a, b) => a.draw - b.draw);
  const out = new Set(order.slice(kept).map(({ block }) => factor * n + block));
  const mask = Float32Array.from({ length: m * n }, (_, i) => out.has(i) ? 0 : 1);
  return multiply(r, tensor(mask, { backend: r.backend, shape: [m, n, 1, 1] }));
}

/**
 * Rᵀ as a map, or R when `inverted`. In row form x R applies M_m first; each M is its blocks between two
 * shuffles.
 */
function butterfly(inFeatures: number, r: Tensor, inverted: boolean): LinearMap {
  const [m, n, c] = [r.shape[0]!, r.shape[1]!, r.shape[2]!];
  const factors = Array.from({ length: m }, (_, i) => {
    const blocks = (): Tensor => {
      const free = reshape(slice(r, 0, i, i + 1), [n, c, c]);
      const rotated = cayley(multiply(subtract(free, transpose(free)), 0.5));
      return inverted ? rotated : transpose(rotated);
    };
    const diagonal = blockDiagonal(blocks, r, c, inFeatures);
    if (m === 1 || i === 0) return diagonal; // P_1 is the identity
    const shuffle = (direction: "gather" | "interleave"): LinearMap =>
      chunkShuffle(inFeatures, c * 2 ** i, c / 2, direction, r);
    return chain([shuffle("interleave"), diagonal, shuffle("gather")]);
  });
  return chain(inverted ? factors : factors.reverse());
}

/** y ← b + s ⊙ (y − b). */
function scaled(s: Tensor): LinearChange {
  return {
    form: "delta",
    reads: "output",
    delta: fn(
      { s },
      ({ s }, { y, bias }) => multiply(bias === undefined ? y : subtract(y, bias), subtract(s, 1)),
    ),
    weight: fn({ s }, ({ s }, { weight }) => multiply(weight, reshape(s, [-1, 1]))),
  };
}

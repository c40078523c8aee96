/**
 * OFT. Qiu et al. 2023, "Controlling Text-to-Image Diffusion by Orthogonal Finetuning", arXiv 2306.07280; the input-centric
 * form and the series are those of OFTv2, Qiu et al. 2025, arXiv 2506.19847.
 *
 *   y = W diag(R_1, …, R_n)ᵀ x + b        R_i [c, c] orthogonal, from a skew Q_i by Cayley's transform        n c = in
 *
 * The parameters are the upper triangles of the Q_i, zero initially: the model is unchanged. `constraint` is
 * COFT's ε: after each step every Q_i is pulled back to ‖Q_i‖ ≤ ε / √n. As in PEFT, which rotates x in row
 * form, row x_i becomes x_i R_i.
 */
import {
  blockDiagonal,
  chooseTargets,
  type DefinedMethod,
  mapTree,
  type Model,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { any, bounded, count, fields, oneOf, option, positive } from "../../core/options/mod.ts";
import { cayley, cayleyNeumann, skewFromUpper } from "../../numerics/cayley.ts";
import { divide, less, multiply, select, sqrt, sumOfSquares, transpose } from "../../ops/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { zeros } from "../shared/initial.ts";
import { type Blocks, blocksOf, blocksSchema } from "./blocks.ts";

/** Options of OFT. */
export interface OftOptions extends TargetOptions {
  /** Default pieces of 32. */
  readonly blocks?: Blocks;
  /**
   * Where the size or number does not divide an input: "refuse" (default), or use the "nearest" that does, as
   * in PEFT.
   */
  readonly uneven?: "refuse" | "nearest";
  /** One rotation for all pieces of a layer, or "separate" ones (default). */
  readonly sharing?: "separate" | "shared";
  /** "exact", or a number of terms of the series; default 5 terms, as in PEFT. */
  readonly cayley?: "exact" | { readonly terms: number };
  /** ε of COFT; default none. */
  readonly constraint?: number | undefined;
}

/**
 * OFT as a method. Parameters: `q` [n, c (c − 1) / 2] under each layer's path ([1, …] when shared). Linear layers only.
 *
 * @throws {RangeError} when blocks do not divide a layer's input, a number is out of range, targets match nothing, or a
 * target is an embedding.
 * @example
 * ```ts
 * import { oft } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(oft({ blocks: { size: 4 }, cayley: "exact" }).name, "oft");
 * ```
 */
export const oft: DefinedMethod<OftOptions> = defineLinear<OftOptions, { readonly q: Tensor }>({
  name: "oft",
  summary: "Turns each weight by a block-diagonal orthogonal matrix.",
  facts: { parameters: "in (c − 1) / 2", merges: "yes" },
  title: "OFT",
  options: {
    blocks: option(blocksSchema, "the pieces of an input that are rotated, by size or number", { size: 32 }),
    uneven: option(
      oneOf("refuse", "nearest"),
      "what is done where the blocks do not divide an input",
      "refuse",
    ),
    sharing: option(oneOf("separate", "shared"), "a rotation for each block, or one for all", "separate"),
    cayley: option(
      any(oneOf("exact"), fields<{ readonly terms: number }>({ terms: bounded(count, "terms") })),
      "Cayley's transform exactly, or the first terms of its series",
      { terms: 5 },
    ),
    constraint: option(positive, "ε of COFT, how far a rotation may be from none; by default any"),
  },
  embeddings: false,
  params: (layer, { blocks, uneven, sharing }) => {
    const { size, count } = blocksOf("oft", layer, blocks, uneven);
    return { q: zeros([sharing === "shared" ? 1 : count, size * (size - 1) / 2]) };
  },
  change: ({ q }, { blocks, uneven, cayley: series }, layer) => {
    const { size } = blocksOf("oft", layer, blocks, uneven);
    const r = (): Tensor => {
      const skew = skewFromUpper(q, size); // [n, c, c]
      return series === "exact" ? cayley(skew) : cayleyNeumann(skew, series.terms);
    };
    return {
      form: "input",
      map: blockDiagonal(() => transpose(r()), q, size, layer.inFeatures),
      ...series === "exact" && { inverse: blockDiagonal(r, q, size, layer.inFeatures) },
    };
  },
  training: ({ constraint: ε }) =>
    ε === undefined ? {} : { project: (params) => mapTree(params, (q) => pulledBack(q, ε)) },
  cli: {
    rate: 1e-3,
    flags: ["targets"],
    // Requested blocks must divide the sizes.
    options: (_, __, ___, { blocks }) => blocks === undefined ? { uneven: "nearest" } : {},
  },
  published: {
    setting: (model) => `blocks of ${sizesIn(model)} on q and v`,
    options: () => ({ uneven: "nearest" }),
  },
});

/** The sizes of its blocks on queries and values. */
function sizesIn({ spec }: Model): string {
  const sizes = chooseTargets(spec, {}).map((place) => blocksOf("oft", place, { size: 32 }, "nearest").size);
  return [...new Set(sizes)].join(" and ");
}

/**
 * Each row of triangles shrunk to ‖Q‖ ≤ ε / √rows; ‖Q‖² is twice the sum of its upper triangle's squares.
 * Points on the sphere within rounding are left as they are, so pulling back twice changes nothing.
 */
function pulledBack(q: Tensor, constraint: number): Tensor {
  const limit = constraint / Math.sqrt(q.shape[0]!);
  const norm = sqrt(multiply(sumOfSquares(q, { axis: 1, keepAxes: true }), 2));
  return select(less(limit * (1 + 1e-6), norm), multiply(q, divide(limit, norm)), q);
}

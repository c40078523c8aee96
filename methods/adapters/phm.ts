/**
 * Parameterised hypercomplex multiplication: a linear layer whose matrix is a sum of Kronecker products.
 * Zhang et al. 2021, "Beyond Fully-Connected Layers with Quaternions", arXiv 2102.08597, section 3.
 *
 *   y = x H + b      H = Σ_i A_i ⊗ B_i   [in, out]      A [n, n, n] the rule   B [n, in/n, out/n] the blocks
 *
 * in the row form of the papers: H[a · in/n + k, c · out/n + p] = Σ_i A[i, a, c] B[i, k, p]. The blocks may be products of
 * thin factors, B_i = s_i t_i (Compacter).
 */
import {
  type Backend,
  fold,
  type Key,
  type Method,
  type Model,
  type Published,
  type Tensor,
} from "../../core/mod.ts";
import { add, matmul, permute, reshape, uniform, zeros } from "../../ops/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** A layer's blocks, whole [n, in/n, out/n] or in factors left [n, in/n, k] and right [n, k, out/n]; its bias [out]. */
export type Phm = { readonly bias: Tensor } & (Whole | Factored);
type Whole = { readonly blocks: Tensor };
type Factored = { readonly left: Tensor; readonly right: Tensor };

/** Sizes of a layer. */
export interface PhmSizes {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** n. */
  readonly dimension: number;
}

/** x [..., in] → [..., out] by a rule [n, n, n] and a layer's blocks. */
export function phm(rule: Tensor, layer: Phm, x: Tensor): Tensor {
  const blocks = "blocks" in layer ? layer.blocks : matmul(layer.left, layer.right); // [n, in/n, out/n]
  return add(matmul(x, phmMatrix(rule, blocks)), layer.bias);
}

/** H [in, out]. One product of matrices, since the terms' index is the one summed over. */
function phmMatrix(rule: Tensor, blocks: Tensor): Tensor {
  const [n, rows, columns] = blocks.shape as [number, number, number];
  const products = matmul(reshape(rule, [n, n * n]), reshape(blocks, [n, rows * columns]), {
    transposeA: true,
  });
  return reshape(permute(reshape(products, [n, n, rows, columns]), [0, 2, 1, 3]), [n * rows, n * columns]);
}

/** Initial whole blocks: Glorot-uniform with gain √2, each block separately; bias 0. */
export function freshPhm(key: Key, sizes: PhmSizes, backend: Backend): Phm {
  const { dimension: n, rows, columns } = blockSizes(sizes);
  return {
    blocks: glorot(fold(key, "blocks"), [n, rows, columns], backend),
    bias: zeros([sizes.outFeatures], backend),
  };
}

/** Blocks in factors of rank k, each factor of each block initialized like a whole block. */
export function freshFactoredPhm(key: Key, sizes: PhmSizes, rank: number, backend: Backend): Phm {
  const { dimension: n, rows, columns } = blockSizes(sizes);
  return {
    left: glorot(fold(key, "left"), [n, rows, rank], backend),
    right: glorot(fold(key, "right"), [n, rank, columns], backend),
    bias: zeros([sizes.outFeatures], backend),
  };
}

/**
 * Checks a layer's sizes; called before the n³ elements of a rule are drawn, which may exceed memory.
 *
 * @throws {RangeError} when n does not divide both.
 */
export function checkPhm(sizes: PhmSizes): void {
  blockSizes(sizes);
}

function blockSizes({ inFeatures, outFeatures, dimension: n }: PhmSizes) {
  for (const size of [inFeatures, outFeatures]) {
    if (size % n !== 0) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot split a layer of ${inFeatures} to ${outFeatures} features in ${n} parts: ` +
          `choose a dimension and a reduction so that ${n} divides both`,
      );
    }
  }
  return { dimension: n, rows: inFeatures / n, columns: outFeatures / n };
}

function glorot(key: Key, shape: readonly [number, number, number], backend: Backend): Tensor {
  const bound = Math.SQRT2 * Math.sqrt(6 / (shape[1] + shape[2]));
  return uniform(key, shape, backend, -bound, bound);
}

/** Sizes of the papers, as far as a model allows: r about d / 32, and the largest n up to `most` that divides both. */
export function phmSetting(most: number, norms: () => Method): Published {
  const sizes = ({ spec }: Model): { readonly reduction: number; readonly dimension: number } => {
    const width = spec.blocks[0]!.width;
    let dimension = most;
    while (width % dimension !== 0) dimension--;
    const r = dimension * Math.max(1, Math.round(width / 32 / dimension));
    return { reduction: width % r === 0 ? width / r : width / (r + 0.5), dimension };
  };
  return {
    setting: (model) => {
      const { reduction, dimension } = sizes(model);
      return `r d/${Math.round(reduction)}, n ${dimension}, and norms`;
    },
    options: sizes,
    beside: norms,
  };
}

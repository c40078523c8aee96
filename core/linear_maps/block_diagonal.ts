/**
 * Block-diagonal maps: each piece of the input is multiplied by its own small matrix (OFT, arXiv 2306.07280).
 */
import type { Tensor } from "../../tensor/mod.ts";
import { gatherRows, identity, matmul, permute, reshape, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";
import { leading } from "./cheapest.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * The map diag(M_0, M_1, …) on inputs of a width, for blocks [n, c, c] that are computed from `source` at
 * each use; one block [1, c, c] serves all pieces.
 *
 * @throws {RangeError} when the width is not a multiple of the block size.
 * @example
 * ```ts
 * import { blockDiagonal, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const swap = tensor([[[0, 1], [1, 0]]], { backend }); // one block of 2 serves all pieces
 * const map = blockDiagonal(() => swap, swap, 2, 4);
 * assert.deepEqual([...await read(map.apply(tensor([[1, 2, 3, 4]], { backend })))], [2, 1, 4, 3]);
 * ```
 */
export function blockDiagonal(
  blocks: () => Tensor,
  source: Tensor,
  c: number,
  width: number,
): LinearMap {
  const pieces = width / c;
  if (!Number.isInteger(pieces)) {
    throw rangeError("METHOD_DOES_NOT_FIT", `Cannot put blocks of width ${c} on an input of width ${width}`);
  }
  const apply = (x: Tensor): Tensor => {
    const m = blocks();
    if (m.shape[0] === 1) {
      const split = reshape(x, [...leading(x), pieces, c]);
      return reshape(matmul(split, reshape(m, [c, c]), { transposeB: true }), x.shape);
    }
    const byPiece = permute(reshape(x, [-1, pieces, c]), [1, 0, 2]); // [pieces, rows, c]
    return reshape(permute(matmul(byPiece, m, { transposeB: true }), [1, 0, 2]), x.shape);
  };
  const rows = (): Tensor => apply(identity(width, source.backend));
  return {
    inFeatures: width,
    outFeatures: width,
    tensors: [source],
    cost: width * c,
    apply,
    weight: () => transpose(rows()),
    columns: (ids) => gatherRows(rows(), ids),
  };
}

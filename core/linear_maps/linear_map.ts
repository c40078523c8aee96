/**
 * Linear maps as values: a weight or a weight update applied to a vector, in the cheapest form. `apply`
 * builds the matrix only if that is cheaper; `weight()` always does, for merging and tests.
 */
import { castTo, type Tensor } from "../../tensor/mod.ts";
import { add, gatherRows, matmul, matmulPlus, multiply, transpose } from "../../ops/mod.ts";

/** A linear map x [..., inFeatures] → [..., outFeatures]. */
export interface LinearMap {
  /** n of W [m, n]. */
  readonly inFeatures: number;
  /** m of W [m, n]. */
  readonly outFeatures: number;
  /** Every tensor that the map is computed from. */
  readonly tensors: readonly Tensor[];
  /** Multiply-adds of `apply` for one row of x. */
  readonly cost: number;
  /** x [..., in] → [..., out]. */
  apply(x: Tensor): Tensor;
  /** The map as a matrix [out, in], f32. */
  weight(): Tensor;
  /** Its columns at i32 ids, the outputs for one-hot rows: [...ids, out]. */
  columns(ids: Tensor): Tensor;
  /** The low-rank factors of the matrix, where the map has that form. */
  factors?(): Factors;
  /** The result of `apply` before its last product, for low-rank maps. */
  term?(x: Tensor): Term;
  /** `apply` of x plus the term of another map, fused into one operation. */
  applyPlus?(x: Tensor, term: Term): Tensor;
}

/** The product of rows [..., r] with the transpose of a matrix [out, r]. */
export interface Term {
  /** [..., r]. */
  readonly rows: Tensor;
  /** [out, r]. */
  readonly matrix: Tensor;
}

/** The matrix b a, with a [r, in] and b [out, r]. */
export interface Factors {
  /** [r, in]. */
  readonly a: Tensor;
  /** [out, r]. */
  readonly b: Tensor;
}

/**
 * The tensor in f32; stays in the gradient graph unless it has to be dequantized.
 *
 * @example
 * ```ts
 * import { castTo, decoded, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2], { backend: reference() });
 * assert.equal(decoded(castTo(x, "bf16")).dtype, "f32");
 * assert.equal(decoded(x), x);
 * ```
 */
export function decoded(t: Tensor): Tensor {
  return t.dtype === "f32" ? t : castTo(t, "f32");
}

/** How `dense` multiplies. */
export interface DenseOptions {
  /** Round inputs to eight bits where the matrix is in GGUF blocks, see `MatmulOptions.roundA`. Default false. */
  readonly roundInputs?: boolean;
}

/**
 * A matrix [out, in], or [in, out] when `transposed` (GPT-2's Conv1D).
 *
 * @example
 * ```ts
 * import { dense, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const map = dense(tensor([[1, 2], [3, 4]], { backend }));
 * assert.deepEqual([...await read(map.apply(tensor([1, 10], { backend })))], [21, 43]);
 * assert.equal(map.cost, 4); // multiply-adds a row
 * ```
 */
export function dense(
  matrix: Tensor,
  transposed = false,
  { roundInputs = false }: DenseOptions = {},
): LinearMap {
  const [rows, columns] = [matrix.shape[0]!, matrix.shape[1]!];
  return {
    inFeatures: transposed ? rows : columns,
    outFeatures: transposed ? columns : rows,
    tensors: [matrix],
    cost: rows * columns,
    apply: (x) => matmul(x, matrix, { transposeB: !transposed, roundA: roundInputs }),
    applyPlus: (x, term) => matmulPlus(x, matrix, term.rows, term.matrix, { transposeB: !transposed }),
    weight: () => transposed ? transpose(decoded(matrix)) : matrix, // quantized values cannot be transposed
    columns: (ids) => gatherRows(transposed ? matrix : transpose(decoded(matrix)), ids),
  };
}

/**
 * scale · B A with A [r, in], B [out, r] (arXiv 2106.09685).
 *
 * @example
 * ```ts
 * import { lowRank } from "@graft/peft/core";
 * import { read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const map = lowRank(tensor([[1, 2]], { backend }), tensor([[3], [4]], { backend }), 0.5);
 * assert.deepEqual([...await read(map.weight())], [1.5, 3, 2, 4]);
 * ```
 */
export function lowRank(a: Tensor, b: Tensor, scale: number): LinearMap {
  const scaled = (t: Tensor): Tensor => scale === 1 ? t : multiply(t, scale);
  const rows = (x: Tensor): Tensor => scaled(matmul(x, a, { transposeB: true })); // [.., in] [.., r]
  return {
    inFeatures: a.shape[1]!,
    outFeatures: b.shape[0]!,
    tensors: [a, b],
    cost: a.size + b.size,
    apply: (x) => matmul(rows(x), b, { transposeB: true }), // [.., out]
    term: (x) => ({ rows: rows(x), matrix: b }),
    weight: () => scaled(matmul(b, a)),
    columns: (ids) => matmul(scaled(gatherRows(transpose(a), ids)), b, { transposeB: true }),
    factors: () => ({ a, b: scaled(b) }),
  };
}

/**
 * The sum of maps of the same shape.
 *
 * @example
 * ```ts
 * import { dense, read, reference, sumOf, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const [a, b] = [dense(tensor([[1, 2]], { backend })), dense(tensor([[10, 20]], { backend }))];
 * assert.deepEqual([...await read(sumOf([a, b]).weight())], [11, 22]);
 * ```
 */
export function sumOf(maps: readonly LinearMap[]): LinearMap {
  const total = (f: (map: LinearMap) => Tensor): Tensor => maps.map(f).reduce((a, b) => add(a, b));
  const first = maps[0]!;
  return {
    inFeatures: first.inFeatures,
    outFeatures: first.outFeatures,
    tensors: maps.flatMap((map) => map.tensors),
    cost: maps.reduce((n, map) => n + map.cost, 0),
    apply: (x) => total((map) => map.apply(x)),
    weight: () => total((map) => map.weight()),
    columns: (ids) => total((map) => map.columns(ids)),
  };
}

/**
 * A map times a scalar.
 *
 * @example
 * ```ts
 * import { dense, read, reference, scaledMap, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const map = dense(tensor([[1, 2]], { backend: reference() }));
 * assert.deepEqual([...await read(scaledMap(map, 3).weight())], [3, 6]);
 * ```
 */
export function scaledMap(map: LinearMap, factor: number): LinearMap {
  const { term, applyPlus: _, ...rest } = map;
  return {
    ...rest,
    apply: (x) => multiply(map.apply(x), factor),
    weight: () => multiply(map.weight(), factor),
    columns: (ids) => multiply(map.columns(ids), factor),
    ...term && {
      term: (x) => {
        const { rows, matrix } = term(x);
        return { rows: multiply(rows, factor), matrix };
      },
    },
    ...map.factors && {
      factors: () => {
        const { a, b } = map.factors!();
        return { a, b: multiply(b, factor) };
      },
    },
  };
}

/** A backend that computes nothing and counts the multiply-adds of products and attention: what a pass would cost. */
import type { Backend, Operand, Shape } from "../tensor/mod.ts";
import { size } from "../tensor/mod.ts";
import { shapesOnly } from "./shapes_only.ts";

/** A backend with its count. */
export interface CountingBackend {
  /** Counts the kernels called, and computes nothing. */
  readonly backend: Backend;
  /** Multiply-adds so far, excluding elementwise operations. */
  multiplyAdds(): number;
  /** Nonlinear elementwise functions so far: none in a linear computation. */
  functions(): number;
}

/**
 * Creates a counting backend. A product [m, k] · [k, n] counts m k n; attention counts q kᵀ and the sum over
 * values, including masked keys.
 *
 * @example
 * ```ts
 * import { countingShapes, matmul, zeros } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const { backend, multiplyAdds } = countingShapes();
 * matmul(zeros([2, 3], backend), zeros([3, 5], backend));
 * assert.equal(multiplyAdds(), 30);
 * ```
 */
export function countingShapes(): CountingBackend {
  let [count, functions] = [0, 0];
  const inner = (a: Operand, transposed: boolean): number => at(a.shape, transposed ? -2 : -1);
  const scores = (q: Operand, k: Operand): number => size(q.shape) * k.shape[1]!; // b t h d · s
  const backend: Backend = {
    ...shapesOnly(),
    unary: () => {
      functions++;
    },
    matmul: (a, _, options, out) => {
      count += size(out.shape) * inner(a, options.transposeA);
    },
    attention: (q, k) => {
      count += 2 * scores(q, k);
    },
    attentionGrad: (q, k) => {
      count += 4 * scores(q, k);
    },
  };
  return { backend, multiplyAdds: () => count, functions: () => functions };
}

const at = (shape: Shape, axis: number): number => shape[shape.length + axis]!;

/**
 * Weights of convolutions in LyCORIS's forms (Yeh et al. 2023, arXiv 2309.14859): the kernels [out, in,
 * ...window] that LoHa and LoKr compute from their factors. Pure functions; with a Tucker decomposition the
 * window's axes are in a small core tensor.
 */
import type { Tensor } from "../../tensor/mod.ts";
import { matmul, multiply, permute, reshape } from "../../ops/mod.ts";

/** A Tucker decomposition of a kernel [out, in, ...window]. */
export interface TuckerFactors {
  /** [r1, r2, ...window]. */
  readonly core: Tensor;
  /** [r1, out]. */
  readonly out: Tensor;
  /** [r2, in]. */
  readonly in: Tensor;
}

/**
 * Σ_ij core[i, j, …] out[i, ·] in[j, ·]: [out, in, ...window].
 *
 * @example
 * ```ts
 * import { read, reference, tensor, tuckerWeight } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const core = tensor([[[1, 2, 3]]], { backend }); // ranks 1 and 1, a window of 3
 * const kernel = tuckerWeight({ core, out: tensor([[1, 10]], { backend }), in: tensor([[1]], { backend }) });
 * assert.deepEqual(kernel.shape, [2, 1, 3]);
 * assert.deepEqual([...await read(kernel)], [1, 2, 3, 10, 20, 30]);
 * ```
 */
export function tuckerWeight({ core, out, in: input }: TuckerFactors): Tensor {
  const [r1, r2, ...window] = core.shape as readonly [number, number, ...number[]];
  const [o, i] = [out.shape[1]!, input.shape[1]!];
  const byOut = reshape(matmul(out, reshape(core, [r1, -1]), { transposeA: true }), [o, r2, -1]); // [out, r2, window]
  const byBoth = matmul(byOut, input, { transposeA: true }); // [out, window, in]
  return reshape(permute(byBoth, [0, 2, 1]), [o, i, ...window]);
}

/**
 * A low-rank pair a [out, r], b [r, in, ...window]: [out, in, ...window].
 *
 * @example
 * ```ts
 * import { read, reference, splitWeight, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const kernel = splitWeight(tensor([[1], [10]], { backend }), tensor([[[1, 2, 3]]], { backend }));
 * assert.deepEqual(kernel.shape, [2, 1, 3]);
 * assert.deepEqual([...await read(kernel)], [1, 2, 3, 10, 20, 30]);
 * ```
 */
export function splitWeight(a: Tensor, b: Tensor): Tensor {
  const [r, ...rest] = b.shape as readonly [number, ...number[]];
  return reshape(matmul(a, reshape(b, [r, -1])), [a.shape[0]!, ...rest]);
}

/**
 * LoHa's kernel: scale · first ⊙ second, both [out, in, ...window].
 *
 * @example
 * ```ts
 * import { hadamardKernel, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const [first, second] = [tensor([[[1, 2]]], { backend }), tensor([[[3, 4]]], { backend })];
 * assert.deepEqual([...await read(hadamardKernel(first, second, 2))], [6, 16]);
 * ```
 */
export function hadamardKernel(first: Tensor, second: Tensor, scale: number): Tensor {
  return multiply(multiply(first, second), scale);
}

/**
 * LoKr's kernel: scale · w1 ⊗ w2 for w1 [o1, i1] and w2 [o2, i2, ...window], the only factor with window
 * axes.
 *
 * @example
 * ```ts
 * import { kroneckerKernel, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const kernel = kroneckerKernel(tensor([[1, 10]], { backend }), tensor([[[1, 2, 3]]], { backend }), 1);
 * assert.deepEqual(kernel.shape, [1, 2, 3]); // twice the inputs, the window as it was
 * assert.deepEqual([...await read(kernel)], [1, 2, 3, 10, 20, 30]);
 * ```
 */
export function kroneckerKernel(w1: Tensor, w2: Tensor, scale: number): Tensor {
  const [o1, i1] = w1.shape as readonly [number, number];
  const [o2, i2, ...window] = w2.shape as readonly [number, number, ...number[]];
  const outer = multiply(reshape(w1, [o1, 1, i1, 1, 1]), reshape(w2, [1, o2, 1, i2, -1]));
  return multiply(reshape(outer, [o1 * o2, i1 * i2, ...window]), scale);
}

/**
 * The part of the Fastfood transform (core/linear_maps/fastfood.ts) that has the size of the output, as one
 * linear op where a backend has it: random values are drawn where they are used.
 *
 *   y = first D of  H (G ⊙ t[Π mod k]) / √(D Σ G²)        rows of K outputs from k values each; G and Σ G² differ for each row
 */
import { defineOp, type FastfoodShape, type Op, type Tensor } from "../tensor/mod.ts";

interface Options extends FastfoodShape {
  /** k. */
  readonly width: number;
}

const spreadOp: Op<Options> = defineOp({
  name: "fastfoodSpread",
  shape: (_, { size }) => [[size]],
  run: (backend, [t], [y], options) => backend.fastfood!(t!, options, y!),
  vjp: (_inputs, _outputs, options) => ({ saved: [], pull: (g) => [collectOp([g], options)] }),
});

const collectOp: Op<Options> = defineOp({
  name: "fastfoodCollect",
  shape: (_, { size, block, width }) => [[Math.ceil(size / block), width]],
  run: (backend, [g], [t], options) => backend.fastfoodTranspose!(g!, options, t!),
  vjp: (_inputs, _outputs, options) => ({ saved: [], pull: (t) => [spreadOp([t], options)] }),
});

/**
 * y [D] from a table t [⌈D / K⌉, k], k ≤ K powers of two. Its backend must have the kernel.
 *
 * @example
 * ```ts
 * import { key, reference, tensor, wasm } from "@graft/peft";
 * import { fastfoodSpread, mixingWords } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = await wasm({ threads: 1 });
 * assert.equal(reference().fastfood, undefined); // there core composes it of other ops
 * const t = tensor([[1, 2], [3, 4]], { backend }); // two rows of k = 2
 * const y = fastfoodSpread(t, { size: 7, block: 4, gaussian: key(0), mixing: mixingWords(key(1)) });
 * assert.deepEqual(y.shape, [7]);
 * backend.close();
 * ```
 */
export function fastfoodSpread(t: Tensor, shape: FastfoodShape): Tensor {
  return spreadOp([t], { ...shape, width: t.shape[1]! });
}

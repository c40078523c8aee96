/** Gated activations and dropout. */
import { defineKernel, defineOp, type Kernel, type Key, type Op, scope, type Tensor } from "../tensor/mod.ts";
import { lessEqual, multiply } from "./binary.ts";
import { uniform } from "./create.ts";

const swigluOp: Op<undefined> = defineOp({
  name: "swiglu",
  shape: ([gate]) => [gate!.shape],
  run: (backend, [gate, up], [y]) => backend.swiglu(gate!, up!, y!),
  vjp: ([gate, up]) => ({ saved: [gate!, up!], pull: (g) => swigluGrad([gate!, up!, g], undefined) }),
});

const swigluGrad: Kernel<undefined> = defineKernel({
  name: "swigluGrad",
  shape: ([gate, up]) => [gate!.shape, up!.shape],
  run: (backend, [gate, up, g], [dgate, dup]) => backend.swigluGrad(gate!, up!, g!, dgate!, dup!),
});

/**
 * silu(gate) ⊙ up (arXiv 2002.05202).
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { swiglu } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const y = swiglu(tensor([0, 100], { backend }), tensor([5, 2], { backend }));
 * assert.deepEqual([...await read(y)], [0, 200]); // silu(0) = 0, and silu(x) is nearly x for large x
 * ```
 */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  return swigluOp([gate, up], undefined);
}

interface Dropping {
  readonly p: number;
  readonly key: Key;
}

/**
 * Linear in x, so the gradient is computed the same way: the mask is redrawn from its key instead of being
 * stored.
 */
const dropoutOp: Op<Dropping> = defineOp({
  name: "dropout",
  shape: ([x]) => [x!.shape],
  run: (backend, [x], [y], { p, key }) => {
    scope((): undefined => {
      const kept = lessEqual(p, uniform(key, x!.shape, backend));
      backend.binary("multiply", x!, multiply(kept, 1 / (1 - p)), y!);
    });
  },
  vjp: (_, __, dropping) => ({ saved: [], pull: (g) => [dropoutOp([g], dropping)] }),
});

/**
 * x with each element kept with probability 1 − p and divided by it, else 0 (inverted dropout). Determined by
 * the key.
 *
 * @example
 * ```ts
 * import { key, read, reference } from "@graft/peft";
 * import { dropout, ones } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = ones([1000], reference());
 * const kept = (await read(dropout(x, 0.25, key(0)))).filter((value) => value !== 0);
 * assert.ok(kept.every((value) => Math.abs(value - 4 / 3) < 1e-6)); // so that the mean stays
 * assert.ok(Math.abs(kept.length - 750) < 50);
 * ```
 */
export function dropout(x: Tensor, p: number, key: Key): Tensor {
  return p === 0 ? x : dropoutOp([x], { p, key });
}

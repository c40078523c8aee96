/** The Walsh–Hadamard transform, un-normalised: y_i = Σ_j (−1)^(bits of i and j) x_j, over the last axis. */
import {
  type Backend,
  defineOp,
  type Op,
  type Shape,
  showShape,
  type Tensor,
  tensor,
} from "../tensor/mod.ts";
import { matmul } from "./matmul.ts";
import { reshape, transpose } from "./movement.ts";
import { rangeError } from "../errors/error.ts";
import { log2 } from "../elementary/exponential.ts";

const transformOp: Op<undefined> = defineOp({
  name: "walshHadamard",
  shape: ([x]) => [x!.shape],
  run: (backend, [x], [y]) => backend.walshHadamard!(x!, y!),
  // The matrix is symmetric.
  vjp: () => ({ saved: [], pull: (g) => [transformOp([g], undefined)] }),
});

/**
 * Transforms x [..., K], K a power of two. Applying it twice gives K x; the derivative is the transform
 * itself.
 *
 * @throws {RangeError} when K is not a power of two.
 * @example
 * ```ts
 * import { walshHadamard } from "@graft/peft/ops";
 * import { read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(walshHadamard(tensor([1, 0, 2, 0], { backend: reference() })))], [3, 3, -1, -1]);
 * ```
 */
export function walshHadamard(x: Tensor): Tensor {
  const bits = bitsOf(x.shape);
  return x.backend.walshHadamard === undefined ? byProducts(x, bits) : transformOp([x], undefined);
}

/** log₂ of the last axis. */
function bitsOf(shape: Shape): number {
  const bits = log2(shape[shape.length - 1] ?? 0);
  if (Number.isInteger(bits)) return bits;
  throw rangeError(
    "INVALID_TENSOR",
    `Cannot transform ${showShape(shape)}: its last axis is no power of two`,
  );
}

/** Bits handled in one product: 64 x 64 matrices keep the multiply units busy with few passes over memory. */
const BITS = 6;

/** In K log₂ K / 6 products with matrices of up to 64 x 64, where there is no kernel: H_K is a Kronecker product of small ones. */
function byProducts(x: Tensor, bits: number): Tensor {
  const length = 2 ** bits;
  let y = x;
  for (let done = 0; done < bits; done += BITS) {
    const f = 2 ** Math.min(BITS, bits - done);
    const product = matmul(reshape(y, [-1, length / f, f]), signs(f, x.backend));
    y = transpose(product); // processed digits move to the front; after all of them the original order is restored
  }
  return reshape(y, x.shape);
}

function signs(n: number, backend: Backend): Tensor {
  const parity = (i: number): number => i === 0 ? 0 : (i & 1) ^ parity(i >> 1);
  const values = Float32Array.from({ length: n * n }, (_, at) => 1 - 2 * parity(Math.floor(at / n) & at % n));
  return tensor(values, { backend, shape: [n, n] });
}

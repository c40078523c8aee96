/** The linear layer with a bias used in adapters' networks. */
import { type Backend, fold, type Key, type Tensor } from "../../core/mod.ts";
import { add, matmul, uniform } from "../../ops/mod.ts";

/** A linear layer's parameters: weight [out, in], bias [out]. */
export type Affine = { readonly weight: Tensor; readonly bias: Tensor };

/** x [..., in] → x Wᵀ + b [..., out]. */
export function affine({ weight, bias }: Affine, x: Tensor): Tensor {
  return add(matmul(x, weight, { transposeB: true }), bias);
}

/** A layer initialized as in PyTorch: weight and bias uniform in ±1/√in. */
export function freshAffine(key: Key, out: number, inner: number, backend: Backend): Affine {
  const bound = 1 / Math.sqrt(inner);
  return {
    weight: uniform(fold(key, "weight"), [out, inner], backend, -bound, bound),
    bias: uniform(fold(key, "bias"), [out], backend, -bound, bound),
  };
}

/**
 * The gate of UniPELT. Mao et al. 2022, "UniPELT: A Unified Framework for Parameter-Efficient Language Model Tuning",
 * arXiv 2110.07577, section 3.2.
 *
 *   g = mean over tokens of σ(w · x_t + b)        one number a text, [b, 1, 1]
 *
 * The mean includes padding, as in the authors' code.
 */
import { fold, type Gate, type Tensor } from "../core/mod.ts";
import { add, matmul, mean, normal, reshape, sigmoid, zeros } from "../ops/mod.ts";

/** A gate for `gated`: w [width, 1] starts normal with deviation 0.02, b [1] at 0, so g is near ½. */
export function sentenceGate(): Gate {
  return {
    name: "sentenceGate",
    config: {},
    init: (width, key, backend) => ({
      weight: normal(fold(key, "weight"), [width, 1], backend, 0.02),
      bias: zeros([1], backend),
    }),
    value: (params, x) => {
      const { weight, bias } = params as { readonly weight: Tensor; readonly bias: Tensor };
      const rows = x.shape.length === 2 ? reshape(x, [1, ...x.shape]) : x; // [b, t, width]
      return mean(sigmoid(add(matmul(rows, weight), bias)), { axis: 1, keepAxes: true });
    },
  };
}

/** The matrix of a layer, decomposed where there is a decomposition: on the host, if the model is on a GPU. */
import {
  dispose,
  matrixAt,
  type MatrixPlace,
  type Model,
  owned,
  scope,
  type Synchronous,
  type Tensor,
} from "../../core/mod.ts";
import { factorised } from "../../ops/mod.ts";

/** Applies `f`, which may decompose, to a layer's matrix [out, in], dequantized; what it returns is the caller's. */
export async function factorisedMatrix<F extends object>(
  model: Model,
  place: MatrixPlace,
  f: (w: Tensor) => F,
): Promise<F> {
  const w = scope((): Synchronous<Tensor> => owned(matrixAt(model, place))); // the leaf is the model's
  return await factorised(w, f).finally(() => dispose(w));
}

/**
 * Weights that a start put into codes, as PEFT makes them when it loads the folder.
 *
 *   LoftQ   Q = codes(W);  T − 1 times:   U S Vᵀ = SVD(W − Q)     B A = U_r S_r V_rᵀ     Q = codes(W − B A)
 *   OLoRA   Q = codes(W − s B₀ A₀), on a quantized base
 *
 * LoftQ's codes are nf4 or int8 of W as it lies, and PEFT leaves s out of its passes. (LoftQ: arXiv 2310.08659, algorithm 1.)
 */
import {
  castTo,
  castWeight,
  dispose,
  isStoredTransposed,
  lookup,
  matrixAt,
  type Model,
  scope,
  type Synchronous,
  type Tensor,
} from "../../core/mod.ts";
import { balanced } from "../../methods/low_rank/pissa.ts";
import { factorised, leading, matmul, multiply, subtract, svd } from "../../ops/mod.ts";
import { type ChangedBase, isQuantizedLayer, type Loftq, type StartedLayer, taken } from "./changed_base.ts";

/** By their paths. The caller's. */
export async function quantizedWeights(
  { start }: ChangedBase,
  layers: readonly StartedLayer[],
  model: Model,
): Promise<ReadonlyMap<string, Tensor>> {
  const made = new Map<string, Tensor>();
  try {
    for (const layer of layers) {
      const path = `${layer.place.path}.weight`;
      if (start.name === "loftq") made.set(path, await loftqCodes(start, layer, path, model));
      else if (start.name === "olora" && isQuantizedLayer(layer.place, model)) {
        made.set(path, await requantized(layer, model));
      }
    }
  } catch (error) {
    dispose([...made.values()]);
    throw error;
  }
  return made;
}

/** LoftQ's codes; a Conv1D is coded as it lies there, so of one it is what its codes say. */
async function loftqCodes(
  { bits, passes }: Loftq,
  { rank }: StartedLayer,
  path: string,
  model: Model,
): Promise<Tensor> {
  const dtype = bits === 4 ? "nf4" : "int8";
  const whole = (): Tensor => castTo(lookup(model.weights, path) as Tensor, "f32");
  let codes = scope(() => castWeight(whole(), dtype, false));
  for (let pass = 1; pass < passes; pass++) {
    const lost = scope(() => subtract(whole(), castTo(codes, "f32")));
    dispose(codes);
    const { a, b } = await factorised(lost, (lost) => balanced(leading(svd(lost), rank), 1))
      .finally(() => dispose(lost));
    codes = scope(() => castWeight(subtract(whole(), matmul(b, a)), dtype, false));
    dispose([a, b]);
  }
  if (!isStoredTransposed(model.spec, path)) return codes;
  const decoded = scope(() => castTo(codes, "f32"));
  dispose(codes);
  return decoded;
}

/** What OLoRA left of a quantized matrix, quantized again. */
async function requantized(layer: StartedLayer, model: Model): Promise<Tensor> {
  const { dtype } = lookup(model.weights, `${layer.place.path}.weight`) as Tensor;
  const w = scope((): Synchronous<Tensor> => matrixAt(model, layer.place)); // [out, in], as codes lie
  const { a, b } = await factorised(w, (w) => taken({ name: "olora" }, w, layer, false)).finally(() =>
    dispose(w)
  );
  const rest = scope(() => {
    const w = matrixAt(model, layer.place);
    return castWeight(subtract(w, multiply(matmul(b, a), layer.scale)), dtype, false);
  });
  dispose([a, b]);
  return rest;
}

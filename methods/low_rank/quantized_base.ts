/**
 * Weights quantized by an initialization, as PEFT computes them on loading the folder.
 *
 *   LoftQ   Q = codes(W);  T − 1 times:   U S Vᵀ = SVD(W − Q)     B A = U_r S_r V_rᵀ     Q = codes(W − B A)
 *   OLoRA   Q = codes(W − s B₀ A₀), on a quantized base
 *
 * LoftQ quantizes W to nf4 or int8 in its own layout, and PEFT omits s in the iterations. (LoftQ: arXiv
 * 2310.08659, algorithm 1.)
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
import { factorised, leading, matmul, multiply, subtract, svd } from "../../ops/mod.ts";
import { balanced } from "./balanced.ts";
import { isQuantizedLayer, type Loftq, type Start, type StartedLayer, taken } from "./changed_start.ts";

/** The quantized weights by path, owned by the caller. */
export async function quantizedWeights(
  start: Start,
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

/**
 * LoftQ's quantized weight; a Conv1D is quantized in its own layout, so its dequantized values are returned.
 */
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

/** OLoRA's residual of a quantized matrix, quantized again. */
async function requantized(layer: StartedLayer, model: Model): Promise<Tensor> {
  const { dtype } = lookup(model.weights, `${layer.place.path}.weight`) as Tensor;
  const w = scope((): Synchronous<Tensor> => matrixAt(model, layer.place)); // [out, in], the layout of quantized matrices
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

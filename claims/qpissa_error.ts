/** The quantization error of QPiSSA against QLoRA's. */
import {
  graft,
  matrixAt,
  type Model,
  quantize,
  read,
  scope,
  type Synchronous,
  type Tensor,
} from "../core/mod.ts";
import { pissa } from "../methods/mod.ts";
import { divide, square, subtract, sum } from "../ops/mod.ts";
import { type Claim, percent, verdictOf } from "./claim.ts";

/** ‖W' − W‖² / ‖W‖² of every linear layer of the blocks, their mean's root. */
async function errorOf(model: Model, changed: Model): Promise<number> {
  let total = 0;
  for (const place of model.spec.linears) {
    const ratio = scope((): Synchronous<Tensor> => {
      const [w, other] = [matrixAt(model, place), matrixAt(changed, place)];
      return divide(sum(square(subtract(other, w))), sum(square(w)));
    });
    total += (await read(ratio))[0]!;
    ratio.storage.free();
  }
  return Math.sqrt(total / model.spec.linears.length);
}

export const claim: Claim = {
  title: "QPiSSA quantizes with a smaller error than QLoRA",
  check: async ({ shop: { model } }) => {
    const plain = quantize(model, { dtype: "nf4" });
    const qlora = await errorOf(model, plain);
    plain.dispose();
    const errors: string[] = [];
    let best = qlora;
    for (const rank of [8, 32]) {
      const prepared = await pissa(model, {
        rank,
        targets: "all-linear",
        quantize: { dtype: "nf4", iterations: 3 },
      });
      const error = await errorOf(model, graft(prepared.model, prepared.adapter));
      prepared.dispose();
      errors.push(`QPiSSA of rank ${rank} ${percent(error)}`);
      best = Math.min(best, error);
    }
    return {
      article: "reduces the quantization error (no figure)",
      ours: `QLoRA ${percent(qlora)}, ${errors.join(", ")} of ‖W‖`,
      verdict: verdictOf(best < qlora),
    };
  },
};

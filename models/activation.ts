/** Activations by their names in configs. */
import type { Tensor } from "../core/mod.ts";
import { gelu, geluTanh, relu, silu, tanh } from "../ops/mod.ts";
import { rangeError } from "../errors/error.ts";

/** @throws {RangeError} when the name is not known; `field` is its field in the config. */
export function activationOf(field: string, name: unknown): (x: Tensor) => Tensor {
  switch (name) {
    case "gelu_new":
    case "gelu_fast":
    case "gelu_pytorch_tanh":
      return geluTanh;
    case "gelu":
      return gelu;
    case "relu":
      return relu;
    case "silu":
    case "swish":
      return silu;
    case "tanh":
      return tanh;
    default:
      throw rangeError(
        "MODEL_UNSUPPORTED",
        `Cannot run ${field} ${JSON.stringify(name)}: known are gelu_new, gelu, relu, silu and tanh`,
      );
  }
}

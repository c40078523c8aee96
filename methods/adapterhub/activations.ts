/** Non-linearities by their names in AdapterHub's configs. */
import type { Json } from "../../core/mod.ts";
import type { Activation } from "../shared/bottleneck.ts";
import { rangeError } from "../../errors/error.ts";

/** The library's names of non-linearities (transformers' ACT2FN, in lower case). */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  relu: "relu",
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "geluTanh",
  gelu_fast: "geluTanh",
  gelu_accurate: "geluTanh",
  gelu_pytorch_tanh: "geluTanh",
  swish: "silu",
  silu: "silu",
  tanh: "tanh",
  sigmoid: "sigmoid",
  leakyrelu: "leakyRelu",
  leaky_relu: "leakyRelu",
  linear: "none",
};

/** The non-linearity with a name; null means none. @throws {RangeError} when it is unknown. */
export function activationOf(name: Json): Activation {
  const found = name === null ? "none" : ACTIVATIONS[String(name).toLowerCase()];
  if (found !== undefined) return found;
  throw rangeError(
    "ADAPTER_UNSUPPORTED",
    `Cannot load the non-linearity "${name}": known are ${Object.keys(ACTIVATIONS).join(", ")}`,
  );
}

/** The name of a non-linearity. */
export function activationName(activation: Activation): string {
  return Object.entries(ACTIVATIONS).find(([, ours]) => ours === activation)![0];
}

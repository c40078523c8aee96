/**
 * The bottleneck that adapters share: U σ(D x + b_D) + b_U with D [r, d], U [d, r]. The caller adds the skip
 * connection.
 */
import { type Backend, fold, type Key, type Spec, type SublayerPlace, type Tensor } from "../../core/mod.ts";
import {
  gelu,
  geluTanh,
  multiply,
  normal,
  relu,
  sigmoid,
  silu,
  subtract,
  tanh,
  zeros,
} from "../../ops/mod.ts";
import { type Affine, affine } from "./affine.ts";
import { rangeError } from "../../errors/error.ts";

/** Parameters of a bottleneck. */
export type Bottleneck = { readonly down: Affine; readonly up: Affine };

/**
 * Non-linearities of adapters. "gelu" is the erf form, "geluTanh" transformers' "gelu_new", "silu" also named swish,
 * "leakyRelu" has the slope 0.01 below zero, and "none" is the identity.
 */
export type Activation = "relu" | "gelu" | "geluTanh" | "silu" | "tanh" | "sigmoid" | "leakyRelu" | "none";

/** The function with the given name. */
export function activation(name: Activation): (x: Tensor) => Tensor {
  switch (name) {
    case "relu":
      return relu;
    case "gelu":
      return gelu;
    case "geluTanh":
      return geluTanh;
    case "silu":
      return silu;
    case "tanh":
      return tanh;
    case "sigmoid":
      return sigmoid;
    case "leakyRelu":
      return (x) => subtract(relu(x), multiply(relu(multiply(x, -1)), 0.01));
    case "none":
      return (x) => x;
    default:
      return name satisfies never;
  }
}

/** U σ(D x + b_D) + b_U: [..., d] → [..., d]. */
export function bottleneck({ down, up }: Bottleneck, x: Tensor, σ: (x: Tensor) => Tensor): Tensor {
  return affine(up, σ(affine(down, x)));
}

/** Normal weights with standard deviation 0.02 and zero biases, as in BERT. */
export function freshBottleneck(key: Key, width: number, rank: number, backend: Backend): Bottleneck {
  const layer = (name: string, out: number, inner: number): Affine => ({
    weight: normal(fold(key, name), [out, inner], backend, 0.02),
    bias: zeros([out], backend),
  });
  return { down: layer("down", rank, width), up: layer("up", width, rank) };
}

/** r = d / reduction, rounded down, at least 1. */
export function bottleneckRank(width: number, reduction: number): number {
  return Math.max(1, Math.floor(width / reduction));
}

/** The feed-forward parts. @throws {RangeError} when there is none. */
export function feedForwards(spec: Spec, method: string): readonly SublayerPlace[] {
  const found = spec.sublayers.filter((place) => place.role === "feedForward");
  if (found.length === 0) {
    throw rangeError("METHOD_DOES_NOT_FIT", `Cannot place ${method}: the model offers no feed-forward part`);
  }
  return found;
}

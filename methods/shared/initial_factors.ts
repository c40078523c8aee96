/** Initial parameters, and their paths in an adapter's tree. */
import {
  type Backend,
  fold,
  type Key,
  type MatrixPlace,
  nest,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { uniform } from "../../ops/mod.ts";

/** Uniform in ±1/√columns: He's initialisation with a = √5, PyTorch's default for a linear layer. */
export function kaiming(key: Key, name: string, shape: readonly [number, number], backend: Backend): Tensor {
  const bound = 1 / Math.sqrt(shape[1]);
  return uniform(fold(key, name), shape, backend, -bound, bound);
}

/** Parameters from leaves by path; intermediate tensors are freed. */
export function freshParams(leaves: () => Iterable<readonly [path: string, leaf: Tensor]>): Tree {
  return scope((): Synchronous<Tree> => nest(leaves()) as Synchronous<Tree>);
}

/** The result of `factors` for each layer, under the layer's path. */
export function atPlaces(
  places: readonly MatrixPlace[],
  factors: (place: MatrixPlace) => Readonly<Record<string, Tensor>>,
): readonly (readonly [path: string, leaf: Tensor])[] {
  return places.flatMap((place) =>
    Object.entries(factors(place)).map(([name, leaf]) => [`${place.path}.${name}`, leaf] as const)
  );
}

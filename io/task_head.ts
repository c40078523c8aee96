/** The head of a task over a checkpoint that was saved with another one, or with none. */
import type { Backend, Key, Shape, Spec, Tensor } from "../core/mod.ts";
import { freshWeights, headLeaves } from "../models/mod.ts";

/** Fresh leaves of the head for those that the checkpoint lacks. */
export function missingHead(
  spec: Spec,
  weights: readonly (readonly [path: string, leaf: Tensor])[],
  backend: Backend,
  key: number | Key,
): readonly (readonly [path: string, leaf: Tensor])[] {
  const head = headLeaves(spec);
  const found = new Set(weights.map(([path]) => path));
  return freshWeights(spec, (path) => head.has(path) && !found.has(path), { backend, key });
}

/** Whether a leaf of this shape belongs to a head for another number of classes. */
export function otherClasses(spec: Spec, leaf: string, shape: Shape): boolean {
  return spec.heads.some(({ path, outFeatures }) =>
    (leaf === `${path}.weight` || leaf === `${path}.bias`) && shape[0] !== outFeatures
  );
}

/** The head of a task for a checkpoint that was saved with another one, or with none. */
import type { Backend, Key, ModelConfig, Shape, Spec, Tensor } from "../core/mod.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { architectureOf, freshWeights, headLeaves, type Task, taskConfig } from "../models/mod.ts";

/** Randomly initialized leaves of the head that the checkpoint lacks. */
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

/**
 * Modules of a task's head that a local checkpoint does not have, a BERT's pooler for instance. Their values
 * are known only to the run that initializes them.
 */
export function freshModules(path: string, task: Task): readonly string[] {
  const checkpoint = openCheckpoint(path);
  try {
    const config = taskConfig(checkpoint.config as ModelConfig, task);
    const { spec, weightPath } = architectureOf(config);
    const stored = [...checkpoint.tensors.tensors.values()].map(({ name }) => weightPath(name));
    const places = [...spec.linears, ...spec.norms, ...spec.heads].map((place) => place.path);
    const head = headLeaves(spec);
    return places.filter((place) => head.has(`${place}.weight`) && !stored.includes(`${place}.weight`));
  } finally {
    checkpoint.tensors.close();
  }
}

/** Whether a leaf of this shape belongs to a head for another number of classes. */
export function otherClasses(spec: Spec, leaf: string, shape: Shape): boolean {
  return spec.heads.some(({ path, outFeatures }) =>
    (leaf === `${path}.weight` || leaf === `${path}.bias`) && shape[0] !== outFeatures
  );
}

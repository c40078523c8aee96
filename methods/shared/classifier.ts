/**
 * A model's classifier: task-specific layers, which selective methods train as a whole or exclude from their
 * masks.
 */
import type { Spec } from "../../core/mod.ts";

/**
 * The leaves of heads that score classes instead of vocabulary tokens, with the layers that belong to them
 * (RoBERTa's `classifier.dense` along with `classifier.out_proj`).
 */
export function classifierLeaves(spec: Spec): readonly string[] {
  const rows = spec.embeddings.filter((place) => place.role === "token").map((place) => place.rows);
  const heads = spec.heads.filter((head) => head.tiedTo === undefined && !rows.includes(head.outFeatures));
  const module = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf(".")));
  const beside = spec.linears.filter((place) =>
    place.layer === undefined &&
    heads.some(({ path }) => module(path) !== "" && module(path) === module(place.path))
  );
  return [...beside, ...heads].flatMap(({ path, bias }) =>
    bias ? [`${path}.weight`, `${path}.bias`] : [`${path}.weight`]
  );
}

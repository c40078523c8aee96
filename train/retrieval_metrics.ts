/** How well vectors find what belongs to them, and how well their similarities are in order, as sentence-transformers measures it. */
import { log2 } from "../elementary/exponential.ts";

/** Means over the queries. */
export interface RetrievalScores {
  /** The share of queries whose first k found texts have one that belongs. */
  readonly accuracy: number;
  /** The share of what belongs that is among the first k. */
  readonly recall: number;
  /** 1 / the place of the first that belongs, 0 beyond k. */
  readonly mrr: number;
  /** Discounted cumulative gain over the best that is possible, for texts that belong or do not. */
  readonly ndcg: number;
}

/**
 * Scores of the first k texts that each query finds by cosine similarity.
 *
 * @param relevant Indices of the texts that belong to each query.
 * @example
 * ```ts
 * import { retrievalScores } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const texts = [[1, 0], [0, 1]];
 * const { recall, mrr } = retrievalScores([[0.9, 0.1], [0.8, 0.2]], texts, [[0], [1]], 1);
 * assert.deepEqual([recall, mrr], [0.5, 0.5]); // the second query finds the other text first
 * ```
 */
export function retrievalScores(
  queries: readonly ArrayLike<number>[],
  texts: readonly ArrayLike<number>[],
  relevant: readonly (readonly number[])[],
  k: number,
): RetrievalScores {
  const each = queries.map((query, q) => {
    const wanted = new Set(relevant[q]);
    const cosines = texts.map((text) => cosine(query, text));
    const found = cosines.map((_, i) => i).sort((a, b) => cosines[b]! - cosines[a]!).slice(0, k);
    const hits = found.map((i) => wanted.has(i) ? 1 : 0);
    const first = hits.indexOf(1);
    const gain = (list: readonly number[]): number =>
      list.reduce((sum: number, hit, place) => sum + hit / log2(place + 2), 0);
    const best = new Array<number>(Math.min(k, wanted.size)).fill(1);
    return {
      accuracy: first < 0 ? 0 : 1,
      recall: hits.reduce((sum: number, hit) => sum + hit, 0) / wanted.size,
      mrr: first < 0 ? 0 : 1 / (first + 1),
      ndcg: gain(hits) / gain(best),
    };
  });
  const mean = (of: (scores: RetrievalScores) => number): number =>
    each.reduce((sum, scores) => sum + of(scores), 0) / each.length;
  return {
    accuracy: mean(({ accuracy }) => accuracy),
    recall: mean(({ recall }) => recall),
    mrr: mean(({ mrr }) => mrr),
    ndcg: mean(({ ndcg }) => ndcg),
  };
}

/** The cosine of the angle between two vectors. */
function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [product, one, other] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    product += a[i]! * b[i]!;
    one += a[i]! * a[i]!;
    other += b[i]! * b[i]!;
  }
  return product / Math.max(1e-12, Math.sqrt(one * other));
}

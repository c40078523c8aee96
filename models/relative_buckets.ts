/**
 * T5's buckets of relative positions (arXiv 1910.10683, section 2.1): small distances have a bucket each,
 * larger ones share buckets that widen logarithmically up to `farthest`, beyond which all share one.
 */
import { log } from "../elementary/exponential.ts";

/** How distances are assigned to buckets. */
export interface Bucketing {
  /**
   * "both": half of the buckets for keys before the query, half for keys after it. "behind": keys after the
   * query have distance 0.
   */
  readonly sides: "both" | "behind";
  readonly buckets: number;
  readonly farthest: number;
}

/** The bucket of a key's position minus the query's. Rounded to f32 at every step, as in torch. */
export function bucketOf(distance: number, { sides, buckets, farthest }: Bucketing): number {
  const n = sides === "both" ? Math.floor(buckets / 2) : buckets;
  const side = sides === "both" && distance > 0 ? n : 0;
  const far = sides === "both" ? Math.abs(distance) : Math.max(0, -distance);
  const exact = Math.floor(n / 2);
  if (far < exact) return side + far;
  const f32 = Math.fround;
  const octaves = f32(f32(log(f32(far / exact))) / f32(log(farthest / exact)));
  return side + Math.min(n - 1, exact + Math.floor(f32(octaves * (n - exact))));
}

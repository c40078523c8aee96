/** Patterns of paths. */

/**
 * Whether a pattern matches the whole path.
 *
 * @example
 * ```ts
 * import { layers, matchesWhole } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.ok(matchesWhole(/layers\.\d+\.q/, "layers.0.q"));
 * assert.ok(!matchesWhole(/layers\.\d+\.q/, "layers.0.q.bias"));
 * ```
 */
export function matchesWhole(pattern: RegExp, path: string): boolean {
  return new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace("g", "")).test(path);
}

/** Whether a pattern matches the end of a path, from a dot on, as in PEFT. */
export const patternMatches = (pattern: string, path: string): boolean =>
  new RegExp(`^(.*\\.)?(${pattern})$`).test(path);

/**
 * The value of the first pattern that matches a path's end (PEFT's `rank_pattern`), or the default.
 *
 * @example
 * ```ts
 * import { byPattern } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const ranks = { "layers.0.q_proj": 16 };
 * assert.equal(byPattern(ranks, "model.layers.0.q_proj", 8), 16);
 * assert.equal(byPattern(ranks, "model.layers.1.q_proj", 8), 8);
 * ```
 */
export function byPattern<T>(
  patterns: Readonly<Record<string, T>> | undefined,
  path: string,
  otherwise: T,
): T {
  const found = Object.entries(patterns ?? {}).find(([pattern]) => patternMatches(pattern, path));
  return found === undefined ? otherwise : found[1];
}

/** The name that a misspelt one was most likely meant to be. */

/**
 * The nearest of some names by edit distance (Levenshtein, and swapped neighbours as one step), ignoring case, hyphens and
 * underscores; undefined where none is near: more than a third of the letters would change.
 *
 * @example
 * ```ts
 * import { closest } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * assert.equal(closest("rnak", ["alpha", "rank"]), "rank");
 * assert.equal(closest("telepathy", ["alpha", "rank"]), undefined);
 * ```
 */
export function closest(name: string, names: readonly string[]): string | undefined {
  const word = plainName(name);
  const near = names.map((one) => [one, distance(word, plainName(one))] as const)
    .filter(([one, steps]) => steps <= Math.max(1, Math.floor(Math.max(word.length, one.length) / 3)))
    .sort(([, a], [, b]) => a - b);
  return near[0]?.[0];
}

/**
 * A name without case, hyphens, underscores and spaces: under which `prefix-tuning`, `prefixTuning` and `PREFIX_TUNING` are one.
 *
 * @example
 * ```ts
 * import { plainName } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * assert.equal(plainName("PREFIX_TUNING"), plainName("prefix-tuning"));
 * ```
 */
export function plainName(name: string): string {
  return name.toLowerCase().replaceAll(/[-_\s]/g, "");
}

/** Steps from one word to another: insertions, deletions, substitutions, and swaps of neighbours. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
        ? rows[i - 2]![j - 2]! + 1
        : Infinity;
      row.push(Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, changed, swapped));
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

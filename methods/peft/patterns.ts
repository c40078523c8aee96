/**
 * Values by pattern in a PEFT config: its keys are Python patterns, those of our options JavaScript patterns.
 */
import { byPattern, type Json, type MatrixPlace, type PatternOptions } from "../../core/mod.ts";
import { pythonPattern, pythonSource } from "../../formats/peft_targets.ts";
import type { PeftFields } from "./main_part.ts";

/** The fields whose keys are patterns of paths. */
const BY_PATTERN = [
  "rank_pattern",
  "alpha_pattern",
  "lambda_pattern",
  "n_frequency_pattern",
  "block_size_pattern",
];

/**
 * The fields with JavaScript's patterns, for a codec to read.
 *
 * @throws {SyntaxError} when JavaScript cannot parse one.
 */
export function withOurPatterns(fields: PeftFields): PeftFields {
  return withKeys(fields, (key) => {
    const { source, flags } = pythonPattern(key);
    return flags === "" ? source : `(?${flags}:${source})`;
  });
}

/** The fields with Python's patterns, as a codec wrote them. */
export function withPythonPatterns(fields: PeftFields): PeftFields {
  return withKeys(fields, (key) => pythonSource(new RegExp(key)));
}

/** The same options by our names. */
const OURS: readonly string[] = [
  "rankPattern",
  "alphaPattern",
  "lambdaPattern",
  "frequencyPattern",
  "blockPattern",
] satisfies readonly (keyof PatternOptions)[];

/**
 * Equivalent options whose patterns are valid for a new adapter: without patterns that have no effect, and by
 * path where two with different values match the same layer, of which PEFT uses the first.
 */
export function resolvedPatterns<O>(options: O, places: readonly MatrixPlace[]): O {
  const entries = Object.entries(options as Readonly<Record<string, unknown>>).flatMap(([name, value]) => {
    if (!OURS.includes(name) || value === undefined) return [[name, value] as const];
    const finalized = resolvedPattern(value as Readonly<Record<string, number>>, places);
    return Object.keys(finalized).length === 0 ? [] : [[name, finalized] as const];
  });
  return Object.fromEntries(entries) as O;
}

function resolvedPattern(
  patterns: Readonly<Record<string, number>>,
  places: readonly MatrixPlace[],
): Readonly<Record<string, number>> {
  const numberOf = (of: Readonly<Record<string, number>>, path: string) =>
    byPattern<number | undefined>(of, path, undefined);
  const matches = (pattern: string, path: string): boolean => numberOf({ [pattern]: 1 }, path) === 1;
  const kept = Object.entries(patterns).filter(([pattern], i, all) =>
    places.some(({ path }) =>
      matches(pattern, path) && !all.slice(0, i).some(([earlier]) => matches(earlier, path))
    )
  );
  const conflict = places.some(({ path }) =>
    kept.some(([pattern, number]) => matches(pattern, path) && number !== numberOf(patterns, path))
  );
  if (!conflict) return Object.fromEntries(kept);
  return Object.fromEntries(places.flatMap(({ path }) => {
    const number = numberOf(patterns, path);
    return number === undefined ? [] : [[path.replaceAll(".", "\\."), number]];
  }));
}

function withKeys(fields: PeftFields, keyOf: (key: string) => string): PeftFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      BY_PATTERN.includes(name) && isRecord(value)
        ? Object.fromEntries(Object.entries(value).map(([key, item]) => [keyOf(key), item]))
        : value,
    ]),
  );
}

const isRecord = (value: Json): value is Readonly<Record<string, Json>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Numbers by pattern in a PEFT config: its keys are Python's patterns, those of our options JavaScript's. */
import type { Json } from "../../core/mod.ts";
import { pythonPattern, pythonSource } from "../../formats/peft_targets.ts";
import type { PeftFields } from "../../methods/peft_codec.ts";

/** The fields whose keys are patterns of paths. */
const BY_PATTERN = ["rank_pattern", "alpha_pattern", "n_frequency_pattern"];

/**
 * The fields with JavaScript's patterns, for a codec to read.
 *
 * @throws {SyntaxError} when JavaScript cannot read one.
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

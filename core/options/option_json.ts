/**
 * Options of methods as plain JSON and back: patterns become `{ pattern, flags }`; values that JSON cannot
 * represent are refused.
 */
import type { Json } from "./json.ts";
import { typeError } from "../../errors/error.ts";

/** Options as JSON. */
export type JsonOptions = { readonly [name: string]: Json };

/**
 * Options as JSON; undefined ones are omitted.
 *
 * @param where The owner of the options, for error messages.
 * @throws {TypeError} when an option is a function or anything else that cannot be serialized.
 * @example
 * ```ts
 * import { optionsToJson } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const json = optionsToJson("the options of lora", { rank: 4, targets: /q_proj/, alpha: undefined });
 * assert.deepEqual(json, { rank: 4, targets: { pattern: "q_proj", flags: "" } });
 * ```
 */
export function optionsToJson(where: string, options: Readonly<Record<string, unknown>>): JsonOptions {
  return toJson(where, options) as JsonOptions;
}

function toJson(where: string, value: unknown): Json {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (value instanceof RegExp) return { pattern: value.source, flags: value.flags };
  if (Array.isArray(value)) return value.map((item, i) => toJson(`${where}, ${i}`, item));
  if (typeof value === "object" && [Object.prototype, null].includes(Object.getPrototypeOf(value))) {
    return Object.fromEntries(
      Object.entries(value).filter(([, item]) => item !== undefined)
        .map(([name, item]) => [name, toJson(`${where}, ${name}`, item)]),
    );
  }
  const found = typeof value === "object" ? value.constructor?.name : typeof value;
  throw typeError(
    "CANNOT_SAVE",
    `Cannot save ${where}: a file has no place for a ${found}; choose by names or a pattern`,
  );
}

/**
 * The inverse of `optionsToJson`: `{ pattern, flags }` become patterns again.
 *
 * @example
 * ```ts
 * import { optionsFromJson } from "@graft/peft/options";
 * import assert from "node:assert/strict";
 * const options = optionsFromJson({ rank: 4, targets: { pattern: "q_proj" } });
 * assert.deepEqual(options, { rank: 4, targets: /q_proj/ });
 * ```
 */
export function optionsFromJson(options: JsonOptions): Readonly<Record<string, unknown>> {
  return fromJson(options) as Readonly<Record<string, unknown>>;
}

function fromJson(value: Json): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => fromJson(item as Json));
  const { pattern, flags = "", ...rest } = value as JsonOptions;
  if (typeof pattern === "string" && typeof flags === "string" && Object.keys(rest).length === 0) {
    return new RegExp(pattern, flags);
  }
  return Object.fromEntries(
    Object.entries(value as JsonOptions).map(([name, item]) => [name, fromJson(item)]),
  );
}

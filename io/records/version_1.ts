/** Records of version 1, in which every combinator had a form of its own, as records of today. */
import { gatedDefinition, scaledDefinition } from "../../core/mod.ts";
import type { JsonOptions } from "../../core/options/mod.ts";
import { isObject } from "../../formats/strict_json.ts";
import type { MethodRecord } from "./method_record.ts";
import { syntaxError } from "../../errors/error.ts";

/** The record that one of version 1 means. */
export function fromVersion1(record: unknown): MethodRecord {
  if (!isObject(record) || typeof record["method"] !== "string") {
    throw syntaxError("FILE_INVALID", 'Expected a record of a method, { "method", "config" }');
  }
  const { method, of, gate, factor, parts, adapters } = record;
  const config = (record["config"] ?? {}) as JsonOptions;
  if (gate !== undefined) {
    return {
      method: gatedDefinition.name,
      config: { gate: { name: String(gate) } },
      parts: { of: fromVersion1(of) },
    };
  }
  if (factor !== undefined && of !== undefined) {
    return {
      method: scaledDefinition.name,
      config: { factor: factor as number },
      parts: { of: fromVersion1(of) },
    };
  }
  const inner = parts ?? adapters;
  if (inner === undefined) return { method, config };
  if (!isObject(inner)) {
    throw syntaxError("FILE_INVALID", `Expected the parts of the method "${method}" to be an object`);
  }
  return {
    method,
    config,
    parts: Object.fromEntries(Object.entries(inner).map(([name, part]) => [name, fromVersion1(part)])),
  };
}

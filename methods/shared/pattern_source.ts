/** Patterns as records of version 1 have them: by their source alone. */
import { type JsonOptions, optionsFromJson } from "../../core/options/mod.ts";

/** The options of a record, with a pattern where one of them is a text. */
export function withPattern(config: JsonOptions, name: string): Readonly<Record<string, unknown>> {
  const value = config[name];
  return { ...optionsFromJson(config), ...typeof value === "string" && { [name]: new RegExp(value) } };
}

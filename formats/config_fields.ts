/** Shared by the configs of PEFT and AdapterHub: fields without effect, and keys in Python's order. */
import type { Json } from "../core/mod.ts";
import { isObject } from "./strict_json.ts";

/** Whether a value disables a feature, whatever its name. */
export function inactive(value: Json): boolean {
  return value === null || value === false ||
    (typeof value === "object" && Object.keys(value).length === 0);
}

/** The same with the keys of all its objects sorted. */
export function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map((item) => sorted(item as Json));
  if (!isObject(value)) return value;
  const fields = value as Readonly<Record<string, Json>>;
  return Object.fromEntries(Object.keys(fields).sort().map((name) => [name, sorted(fields[name]!)]));
}

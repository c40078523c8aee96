/** The models of the interface: the base and its adapters, by the names that requests give. */
import { Problem } from "./problem.ts";
import type { Service } from "./service.ts";

/**
 * A percent-decoded path component; unchanged where the encoding is invalid, so that no model has that name.
 */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The adapter of a model's name; null for the bare base. */
export function adapterOf({ base, adapters }: Service, name: string): string | null {
  if (name === base || name === "base") return null;
  const bare = [`${base}:`, "base:"].find((prefix) => name.startsWith(prefix));
  const adapter = bare === undefined ? name : name.slice(bare.length);
  if (adapters.includes(adapter)) return adapter;
  throw new Problem(`There is no model "${name}": there are ${[base, ...adapters].join(", ")}`, {
    status: 404,
    code: "model_not_found",
    param: "model",
  });
}

export function modelObject({ base, began }: Service, adapter: string | null): unknown {
  return {
    id: adapter ?? base,
    object: "model",
    created: began,
    owned_by: "graft",
    ...adapter !== null && { root: base, parent: base },
  };
}

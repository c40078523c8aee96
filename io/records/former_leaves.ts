/**
 * Obsolete leaves in folders of earlier versions. A ladder's side network used to have weights for the head's
 * inner layer and for the norms of the embeddings and in the head, which it does not use.
 */
import { plainName } from "../../core/options/mod.ts";
import type { Spec } from "../../core/mod.ts";
import type { MethodRecord } from "./method_record.ts";

/** Whether a stored path is one of them, wherever the ladder is in a composition. */
export function isFormerLeaf(record: MethodRecord, { linears, norms }: Spec): (path: string) => boolean {
  if (!names(record, "ladderSideTuning")) return () => false;
  const unread = [
    ...linears.filter(({ layer }) => layer === undefined),
    ...norms.filter(({ layer, stands = "end" }) => layer === undefined && stands !== "end"),
  ].flatMap(({ path }) => [`side.${path}.weight`, `side.${path}.bias`]);
  return (path) => unread.some((name) => path === name || path.endsWith(`.${name}`));
}

/** Whether a record is that of a method, or contains one. */
function names(record: unknown, method: string): boolean {
  if (typeof record !== "object" || record === null) return false;
  const { method: own } = record as { readonly method?: unknown };
  return (typeof own === "string" && plainName(own) === plainName(method)) ||
    Object.values(record).some((inner) => names(inner, method));
}

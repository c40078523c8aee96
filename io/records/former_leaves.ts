/**
 * Leaves that folders of before have and nothing reads. A ladder's side network once had weights for the head's inner layer
 * and for the norms over the embeddings and in the head, beside which it runs.
 */
import type { Spec } from "../../core/mod.ts";
import type { MethodRecord } from "./method_record.ts";

/** Whether a stored path is one of them, wherever in a composition the ladder stands. */
export function isFormerLeaf(record: MethodRecord, { linears, norms }: Spec): (path: string) => boolean {
  if (!names(record, "ladderSideTuning")) return () => false;
  const unread = [
    ...linears.filter(({ layer }) => layer === undefined),
    ...norms.filter(({ layer, stands = "end" }) => layer === undefined && stands !== "end"),
  ].flatMap(({ path }) => [`side.${path}.weight`, `side.${path}.bias`]);
  return (path) => unread.some((name) => path === name || path.endsWith(`.${name}`));
}

/** Whether a record is of a method, or holds one that is. */
function names(record: unknown, method: string): boolean {
  if (typeof record !== "object" || record === null) return false;
  return (record as { readonly method?: unknown }).method === method ||
    Object.values(record).some((inner) => names(inner, method));
}

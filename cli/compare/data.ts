/** Data for `graft compare` when none is given: generated conversations with their summaries. */
import { fold, key } from "../../core/mod.ts";
import type { DeskName } from "../../embedded/conversations/desks/mod.ts";
import { conversation } from "../../embedded/conversations/mod.ts";
import { CLOTHES, DEVICES, PRODUCTS } from "../../embedded/conversations/lists.ts";
import { writeTextAtomically } from "../../formats/atomic_write.ts";

/** The things that the conversations are about: facts beside names, numbers and dates. */
export const THINGS: readonly string[] = [...new Set([...PRODUCTS, ...DEVICES, ...CLOTHES])];

/**
 * Writes conversations as JSON Lines of `dialogue` and `summary`. Their key differs from those of the
 * pretraining texts, so that the embedded model has never seen them or any summary.
 *
 * @param desk Of one kind of company; default of all.
 */
export function writeConversations(
  path: string,
  count: number,
  seed: number,
  desk?: DeskName,
): Promise<void> {
  const from = fold(key(seed), "compare");
  const lines = Array.from({ length: count }, (_, i) => {
    const { dialogue, summary } = conversation(from, i, desk);
    return JSON.stringify({ dialogue, summary });
  });
  return writeTextAtomically(path, `${lines.join("\n")}\n`);
}

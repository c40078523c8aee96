/**
 * Prompts inside a text (P-tuning, arXiv 2103.10385): the i-th token with a reserved id in each row is
 * replaced by the i-th trained row. The positions are known before the pass runs, so this is one lookup in an
 * extended table.
 */
import { type Batch, type Pass, type Site, slotRows, type Tensor } from "../core/mod.ts";
import { concat, gatherRows, integers, reshape } from "../ops/mod.ts";
import { rangeError } from "../errors/error.ts";

/**
 * The embedded tokens x [b, t, d] with the prompts at their slots.
 *
 * @throws {RangeError} when the number of slots in a row of the batch differs from the prompt's rows, or two
 * prompts use the same id.
 */
export function fillPromptSlots(pass: Pass, stack: Site, batch: Batch, x: Tensor): Tensor {
  const [b, t, d] = x.shape as [number, number, number];
  const prompts = slotRows(pass, stack);
  if (prompts.length === 0) return x;
  const taken = new Set<number>();
  const source = Array.from({ length: b * t }, (_, i) => i); // the row of the table for each token
  let next = b * t;
  for (const { token, length } of prompts) {
    if (taken.has(token)) {
      throw rangeError(
        "INVALID_BATCH",
        `Two prompts at "${stack.path}" wait for the token ${token}: give each an id of its own`,
      );
    }
    taken.add(token);
    for (const [i, row] of batch.inputIds.entries()) {
      const slots = row.flatMap((id, j) => id === token && batch.attentionMask?.[i]?.[j] !== 0 ? [j] : []);
      if (slots.length !== length) {
        throw rangeError(
          "INVALID_BATCH",
          `Expected ${length} slots for the prompt at "${stack.path}", tokens ${token}, in row ${i} but found ` +
            `${slots.length}: put them in by withSlots, and all in the pass that begins the text`,
        );
      }
      slots.forEach((j, k) => source[i * t + j] = next + k);
    }
    next += length;
  }
  const table = concat([reshape(x, [b * t, d]), ...prompts.map((prompt) => prompt.rows())], 0);
  return gatherRows(table, integers(source, x.backend, [b, t]));
}

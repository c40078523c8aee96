/**
 * Rows that prompts add to a text's own tokens (DePT, arXiv 2309.05173): the i-th row to the i-th token, wherever the text
 * stands in its row of the batch, and nothing to the tokens after the last row.
 */
import { ontoRows, type Pass, type Site, type Tensor } from "../core/mod.ts";
import { add, concat, gatherRows, integers, zeros } from "../ops/mod.ts";

/**
 * The embedded tokens x [b, t, d] with the rows added.
 *
 * @param at The positions of the pass's rows [1 or b][.. + t], of which the last t are x's, and those that come before a text's
 * first token.
 */
export function withRowsOnto(
  pass: Pass,
  stack: Site,
  x: Tensor,
  at: { readonly positions: readonly (readonly number[])[]; readonly ahead: number },
): Tensor {
  const t = x.shape[1]!;
  const places = at.positions.map((row) => row.slice(row.length - t).map((p) => p - at.ahead));
  return ontoRows(pass, stack).reduce((sum, rows) => {
    const [n, d] = rows.shape as readonly [number, number];
    const which = places.flatMap((row) => row.map((i) => i >= 0 && i < n ? i : n));
    const table = concat([rows, zeros([1, d], x.backend)], 0);
    return add(sum, gatherRows(table, integers(which, x.backend, [places.length, t])));
  }, x);
}

/** For methods that change what a layer makes of its input, which a table of rows has not. */
import type { MatrixPlace } from "../../core/mod.ts";

/** @throws {RangeError} when a place is an embedding; the message names the method. */
export function checkNotEmbedding(
  method: string,
  place: MatrixPlace,
): asserts place is Exclude<MatrixPlace, { readonly kind: "embedding" }> {
  if (place.kind !== "embedding") return;
  throw new RangeError(`Cannot put ${method} on the embedding "${place.path}": leave it out of the targets`);
}

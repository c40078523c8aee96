/**
 * For methods that change a layer's output as a function of its dense input, which an embedding table does
 * not have.
 */
import type { MatrixPlace } from "../../core/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** @throws {RangeError} when a place is an embedding; the message names the method. */
export function checkNotEmbedding(
  method: string,
  place: MatrixPlace,
): asserts place is Exclude<MatrixPlace, { readonly kind: "embedding" }> {
  if (place.kind !== "embedding") return;
  throw rangeError(
    "METHOD_DOES_NOT_FIT",
    `Cannot put ${method} on the embedding "${place.path}": leave it out of the targets`,
  );
}

/**
 * Checks for generated ids that the tokenizer does not know: a sign that the tokenizer belongs to another
 * model.
 */
import type { Model } from "../trees/model.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Models often have a few rows more than tokens, up to the next multiple of 64 or 1024; the largest known
 * excess, DeepSeek's, is 2.3 %. Such ids decode to no text, as in transformers.
 */
const PADDING = 1 / 16;

/**
 * Checks an id that a model generated.
 *
 * @throws {RangeError} when the tokenizer has no token for it and far fewer tokens than the model has rows.
 */
export function checkInVocabulary(model: Model, id: number): void {
  const { tokenizer, source, spec } = model;
  if (tokenizer.token === undefined || tokenizer.vocabSize === undefined) return;
  if (tokenizer.token(id) !== undefined) return;
  const rows = spec.embeddings.find((place) => place.role === "token")?.rows ?? 0;
  if (rows - tokenizer.vocabSize <= rows * PADDING) return;
  throw rangeError(
    "TOKENIZER_UNSUPPORTED",
    `Cannot write the id ${id} that the model gives: model.vocab of ${
      source === undefined ? "its tokenizer" : `the tokenizer of ${source}`
    } ends at ${tokenizer.vocabSize - 1}, the model's embedding at ${
      rows - 1
    }; use the tokenizer it was trained with`,
  );
}

/**
 * T5's token table in PEFT. The model has it as `shared` and its stacks as `encoder.embed_tokens` and
 * `decoder.embed_tokens`, one module with three names. PEFT wraps only the first name, which no pass reads:
 * LoRA on `shared`, or saving the module, has no effect. Token rows take effect only where the head is tied
 * to the table, when PEFT also wraps the other names and writes the rows again.
 */
import { type EmbeddingPlace, nameMatches, type Spec } from "../../core/mod.ts";
import { ROWS } from "../../methods/peft_beside.ts";
import type { FolderParts } from "./folder_parts.ts";
import { rangeError } from "../../errors/error.ts";

/** The table that several stacks read, where there are several. */
function shared(spec: Spec): EmbeddingPlace | undefined {
  return spec.stacks.length < 2 ? undefined : spec.embeddings.find(({ role }) => role === "token");
}

/** @throws {RangeError} where the adapter would have no effect in PEFT. */
export function checkStackTables({ main, saved, tokens }: FolderParts, spec: Spec): void {
  const table = shared(spec);
  if (table === undefined) return;
  const { path } = table;
  const tied = spec.heads.some(({ tiedTo }) => tiedTo === path);
  const what = main?.places.some((place) => place.path === path)
    ? `${main.type} on "${path}"`
    : saved?.modules.some((name) => nameMatches(name, path))
    ? `"${path}" as a saved module`
    : tokens && !tied && ROWS.tables(spec, tokens).some(({ place }) => place.path === path)
    ? `trained rows of "${path}" beside a head of its own`
    : undefined;
  if (what === undefined) return;
  throw rangeError(
    "CANNOT_SAVE",
    `PEFT has no ${what} of ${spec.architecture}: the stacks read the table under names of their own, so that it would do nothing ` +
      "there; leave it out",
  );
}

/**
 * Keys under which PEFT writes the trained rows of the table again for the stacks, where they are the
 * folder's only adapter.
 */
export function stackCopies(
  { main, tokens }: FolderParts,
  spec: Spec,
): readonly { readonly key: string; readonly of: string }[] {
  const table = shared(spec);
  if (table === undefined || main !== undefined || tokens === undefined) return [];
  return spec.stacks.map(({ stack }) => ({
    key: `${stack}.embed_tokens.trainable_tokens_delta`,
    of: `${table.path}.trainable_tokens_delta`,
  }));
}

/**
 * PEFT's trainable token indices, in a separate config or along with another method, as options of
 * `trainableTokens`.
 */
import { type Json, nameMatches, type Spec } from "../../core/mod.ts";
import { knownFields, type PeftConfig } from "../../formats/peft_config.ts";
import { chosenPaths, peftTargets } from "../../formats/peft_targets.ts";
import type { PeftFields } from "../peft/codec.ts";
import { tokenRows, type TrainableTokensOptions } from "./trainable_tokens.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** The `peft_type` of rows alone. */
export const ALONE_TYPE = "TRAINABLE_TOKENS";

/** `trainable_token_indices`: ids for the input embedding, or ids by module. */
export function tokensOf(given: Json, spec: Spec): TrainableTokensOptions {
  if (isIds(given)) return { tokens: given };
  if (typeof given !== "object" || given === null || Array.isArray(given)) throw wrongIds(given);
  const entries = Object.entries(given).map(([name, ids]) => {
    if (!isIds(ids)) throw wrongIds(given);
    return [name, ids] as const;
  });
  // A tied head with the same ids as its embedding is trained through it.
  const kept = entries.filter(([name, ids]) => {
    const head = spec.heads.find((head) => head.tiedTo !== undefined && nameMatches(name, head.path));
    const same = entries.find(([other]) => head?.tiedTo !== undefined && nameMatches(other, head.tiedTo));
    return same === undefined || same[1].join() !== ids.join();
  });
  return { tokens: Object.fromEntries(kept) };
}

/** The options of a config of type TRAINABLE_TOKENS. @throws {RangeError} when its targets match no table. */
export function tokensAlone(config: PeftConfig, spec: Spec): TrainableTokensOptions {
  const fields = knownFields(config, { token_indices: [], init_weights: true }, {});
  const ids = fields["token_indices"] ?? null;
  if (!isIds(ids)) throw wrongIds(ids);
  const targets = fields["target_modules"] ?? null;
  if (targets === null) return { tokens: ids };
  const tables = [...spec.embeddings, ...spec.heads].map((place) => place.path);
  const chosen = chosenPaths(peftTargets(fields, { standard: () => [], linear: () => [] }), tables);
  if (chosen.length === 0) {
    throw rangeError(
      "NO_SUCH_PLACE",
      `${JSON.stringify(targets)} matches no table of rows: there are ${tables.join(", ")}`,
    );
  }
  const inputs = spec.embeddings.filter((place) => place.role === "token").map((place) => place.path);
  return inputs.join() === chosen.join()
    ? { tokens: ids }
    : { tokens: Object.fromEntries(chosen.map((path) => [path, ids])) };
}

/** The fields of such a config. @throws {RangeError} where tables have other ids. */
export function aloneTokens(options: TrainableTokensOptions, spec: Spec): PeftFields {
  const rows = tokenRows(spec, options);
  if (rows.some(({ ids }) => ids.join() !== rows[0]!.ids.join())) {
    throw rangeError(
      "CANNOT_SAVE",
      "Cannot save trainable tokens alone with other ids for each table: PEFT has one list",
    );
  }
  return {
    init_weights: true,
    target_modules: rows.map(({ place }) => place.path),
    token_indices: rows[0]!.ids,
  };
}

const isIds = (value: Json): value is readonly number[] =>
  Array.isArray(value) && value.every((id) => Number.isInteger(id));

function wrongIds(value: Json): TypeError {
  return typeError(
    "INVALID_ARGUMENT",
    `Expected token ids, or ids by module, but found ${JSON.stringify(value)}`,
  );
}

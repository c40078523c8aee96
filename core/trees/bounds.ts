/**
 * The maximum of each count in a file. A count determines a loop or an allocation, and a file may come from anyone: without a
 * bound, one number in a config could take all memory or run forever. Each bound is far above the values in real files.
 */
import { rangeError } from "../../errors/error.ts";

/** By what is counted. */
export const MOST = {
  /** Blocks of a model, layers of it that are named or repeated. */
  blocks: 4096,
  /** Numbers in a state, rows or columns of a matrix, an attention's heads. */
  width: 1_048_576,
  /** Tokens and their ids; rows of an embedding. */
  vocabulary: 4_194_304,
  /** Tokens of a context. */
  positions: 134_217_728,
  /** Ranks. */
  rank: 65_536,
  /** Ranks of matrices that no file holds, drawn anew from a seed. */
  drawnRank: 4096,
  /** Tokens of a soft prompt, vectors of a prefix. */
  prompt: 65_536,
  /** Layers of a network that belongs to an adapter, factors of a product. */
  depth: 64,
  /** Terms of a series, passes of an algorithm. */
  terms: 256,
  /** Experts, skills, pieces, copies of a part. */
  parts: 4096,
  /** Tasks of which each has parameters of its own. */
  tasks: 4096,
  /** Classes. */
  classes: 1_048_576,
  /** Entries of a vector or a matrix that are chosen: frequencies, dimensions of a subspace. */
  entries: 67_108_864,
  /** Kronecker factors of a hypercomplex layer, whose rule has their cube. */
  factors: 256,
  /** Steps of training. */
  steps: 2_147_483_647,
} as const;

/** What is counted. */
export type Counted = keyof typeof MOST;

/** Names of fields, or of an outer and an inner one as in "phm.dimension", with what they count. */
export type CountedFields = Readonly<Record<string, Counted>>;

/** The counts of a model's `config.json`. */
export const MODEL_COUNTS: CountedFields = {
  num_hidden_layers: "blocks",
  num_layers: "blocks",
  num_decoder_layers: "blocks",
  n_layer: "blocks",
  max_window_layers: "blocks",
  sliding_window_pattern: "blocks",
  _sliding_window_pattern: "blocks",
  no_rope_layer_interval: "blocks",
  hidden_size: "width",
  intermediate_size: "width",
  n_embd: "width",
  n_inner: "width",
  d_model: "width",
  d_ff: "width",
  d_kv: "width",
  head_dim: "width",
  num_attention_heads: "width",
  num_key_value_heads: "width",
  num_heads: "width",
  n_head: "width",
  relative_attention_num_buckets: "width",
  type_vocab_size: "width",
  vocab_size: "vocabulary",
  pad_token_id: "vocabulary",
  bos_token_id: "vocabulary",
  eos_token_id: "vocabulary",
  decoder_start_token_id: "vocabulary",
  max_position_embeddings: "positions",
  original_max_position_embeddings: "positions",
  n_positions: "positions",
  n_ctx: "positions",
  sliding_window: "positions",
  relative_attention_max_distance: "positions",
  num_labels: "classes",
};

/**
 * Checks the counts of a config at any depth: numbers, lists of numbers, numbers by name.
 *
 * @param where The file, for the message.
 * @throws {RangeError} when one is above its bound; the message names file, field and bound.
 * @example
 * ```ts
 * import { checkCounts } from "@graft/peft";
 * import assert from "node:assert/strict";
 * checkCounts("a/config.json", { num_hidden_layers: 32 }, { num_hidden_layers: "blocks" });
 * assert.throws(
 *   () => checkCounts("a/config.json", { num_hidden_layers: 1e9 }, { num_hidden_layers: "blocks" }),
 *   /"num_hidden_layers" in a\/config.json to be at most 4096 but found 1000000000/,
 * );
 * ```
 */
export function checkCounts(where: string, config: unknown, counts: CountedFields): void {
  walk(where, config, counts, [], undefined);
}

function walk(
  where: string,
  value: unknown,
  counts: CountedFields,
  path: readonly string[],
  counted: Counted | undefined,
): void {
  if (typeof value === "number") {
    if (counted === undefined || !(value > MOST[counted])) return;
    throw rangeError(
      "FILE_INVALID",
      `Expected "${path.join(".")}" in ${where} to be at most ${MOST[counted]} but found ${value}`,
    );
  }
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      if (typeof item === "number" || (typeof item === "object" && item !== null)) {
        walk(where, item, counts, [...path, String(i)], counted);
      }
    }
    return;
  }
  if (typeof value !== "object" || value === null) return;
  const outer = path.at(-1);
  for (const [name, inner] of Object.entries(value)) {
    const both = `${outer}.${name}`;
    const own = Object.hasOwn(counts, both)
      ? counts[both]
      : Object.hasOwn(counts, name)
      ? counts[name]
      : counted;
    walk(where, inner, counts, [...path, name], own);
  }
}

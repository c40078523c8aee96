/**
 * Cartridges. Eyuboglu et al. 2025, "Cartridges: Lightweight and general-purpose long context representations via self-study",
 * arXiv 2506.06266, section 3.
 *
 *   K ← [F_K; P_K; K]   V ← [F_V; P_V; V]   at every attention; F [f, kvHeads, headDim] is fixed, P [n − f, …] trains
 *
 * A cache of keys and values that is trained: it starts as the cache of the first n tokens of a text, and the first f tokens,
 * which every later one attends to, stay as they are. The paper trains it on conversations about the text that the model
 * itself invents; here it trains on any data. Prefix tuning with this start, without a network.
 */
import {
  adapt,
  type AttentionPlace,
  type Batch,
  type DefinedMethod,
  defineMethod,
  fn,
  forward,
  type Model,
  paramsAt,
  type PrefixRows,
  type Tensor,
} from "../../core/mod.ts";
import { bounded, type Filled, filled, option, seed } from "../../core/options/mod.ts";
import { concat, reshape, slice } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rowsSetting } from "../shared/model_sizes.ts";
import { normalRows, prefixPlaces } from "./prefix_places.ts";
import { lengthOption, tokenIds } from "./prompt_options.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Options of a cartridge. */
export interface CartridgeOptions {
  /** n, rows of keys and values at each attention, default 16. */
  readonly length?: number;
  /** f, how many of them stay fixed, default 1. */
  readonly frozen?: number;
  /** Ids of the text with whose cache it starts, n or more. Default: normal rows. */
  readonly tokens?: readonly number[] | undefined;
}

/** Rows of one attention: k and v [n − f, kvHeads, headDim], and the fixed ones before them [f, kvHeads, headDim]. */
type CartridgeRows = { readonly k: Tensor; readonly v: Tensor; readonly frozen?: PrefixRows };

/**
 * A cartridge as a method. Parameters under an attention's path: `k` and `v` [n − f, kvHeads, headDim], and `frozen.k`,
 * `frozen.v` [f, kvHeads, headDim].
 *
 * @throws {RangeError} when the length is not a positive integer, f is not below it, or there are fewer tokens than n; at init
 * when the model has no attention.
 * @throws {TypeError} at init from tokens, when the model has an encoder and a decoder.
 * @example
 * ```ts
 * import { adapt, cartridge, count, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, cartridge({ length: 3, tokens: [5, 6, 7] }));
 * assert.equal(count(model, adapter).trainable, 2 * 2 * (3 - 1) * 16); // two layers, keys and values of 16 numbers
 * ```
 */
export const cartridge: DefinedMethod<CartridgeOptions> = defineMethod<CartridgeOptions>({
  name: "cartridge",
  summary: "Trains a cache of keys and values that starts from the cache of a text.",
  facts: { "parameters kept": "2 n d a layer", "parameters trained": "those of all rows but the first f" },
  title: "Cartridge",
  options: {
    length: lengthOption(16),
    frozen: option(bounded(seed, "prompt"), "f, how many of the rows stay fixed", 1),
    tokens: option(tokenIds, "ids of the text with whose cache it starts; by default normal rows"),
  },
  create: ({ length: n, frozen: f, tokens }) => {
    if (f >= n) throw rangeError("INVALID_ARGUMENT", `Expected fewer fixed rows than ${n} but found ${f}`);
    if (tokens !== undefined && tokens.length < n) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected at least ${n} tokens, one for each row, but found ${tokens.length}`,
      );
    }
    return {
      init: ({ model, key }) =>
        freshParams(() => {
          const start = tokens === undefined
            ? (place: AttentionPlace): PrefixRows => normalRows(place, n, key, model.backend)
            : cacheOf(model, tokens.slice(0, n));
          return prefixPlaces(model.spec, "own").flatMap(({ place }) =>
            Object.entries(start(place)).flatMap(([part, rows]) => [
              [`${place.path}.${part}`, slice(rows as Tensor, 0, f, n)] as const,
              ...f > 0 ? [[`${place.path}.frozen.${part}`, slice(rows as Tensor, 0, 0, f)] as const] : [],
            ])
          );
        }),
      edits: (params, spec) =>
        prefixPlaces(spec, "own").map(({ place }) => {
          const { k, v, frozen } = paramsAt(params, place.path) as unknown as CartridgeRows;
          return {
            kind: "prefix",
            path: place.path,
            positions: place.role === "self" && place.stack === "decoder" ? n : 0,
            eachToken: true,
            rows: fn({ k, v, ...frozen && { frozen } }, whole),
          };
        }),
    };
  },
  recorded: ({ config: { tokens: _, ...config } }) => config,
  cli: { rate: 5e-3, flags: ["length"] },
  // From the first tokens of the data, where they suffice and the model is one stack.
  prepare: ({ model, options, batches, seed }) => {
    const given = filled(options, cartridge.definition.options) as Filled<CartridgeOptions>;
    const { length, tokens = firstTokens(batches(length)), ...own } = given;
    const starts = tokens.length >= length && model.spec.stacks.length === 1;
    return Promise.resolve({
      adapter: adapt(model, cartridge({ length, ...own, ...starts && { tokens } }), seed),
    });
  },
  plan: ({ options }) => cartridge({ ...options, tokens: undefined }),
  published: rowsSetting(128),
});

const whole = ({ k, v, frozen }: CartridgeRows): PrefixRows =>
  frozen === undefined ? { k, v } : { k: concat([frozen.k, k]), v: concat([frozen.v, v]) };

/** The tokens of batches one after another, without padding. */
const firstTokens = (batches: readonly Batch[]): readonly number[] =>
  batches.flatMap(({ inputIds, attentionMask }) =>
    [...inputIds].flatMap((row, i) => [...row].filter((_, t) => attentionMask?.[i]?.[t] !== 0))
  );

/** The keys and values of tokens at an attention, each [n, kvHeads, headDim]. */
function cacheOf(model: Model, tokens: readonly number[]): (place: AttentionPlace) => PrefixRows {
  if (model.spec.stacks.length > 1) {
    throw typeError(
      "METHOD_DOES_NOT_FIT",
      "Cannot start a cartridge from tokens on an encoder and a decoder: whose text is it?",
    );
  }
  const { cache } = forward(model, { inputIds: [tokens] }, { keepCache: true });
  const rows = (t: Tensor): Tensor => reshape(t, t.shape.slice(1));
  return ({ path }) => {
    const { k, v } = cache!.entries[path]!;
    return { k: rows(k), v: rows(v) };
  };
}

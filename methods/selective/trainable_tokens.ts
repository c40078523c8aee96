/**
 * Trainable tokens (PEFT's `trainable_token_indices`): a few rows of an embedding are trained, the rest of
 * the table is not.
 *
 *   E' = E with row ids[i] replaced by rows[i]        rows [n, d], copies of E's rows initially
 *
 * The parameters are the new rows themselves, not differences, as in PEFT's file. A head tied to the
 * embedding follows it; rows of the head alone leave the embedding unchanged.
 */
import {
  castTo,
  type DefinedMethod,
  defineMethod,
  type Edit,
  type EmbeddingPlace,
  fn,
  type HeadPlace,
  type LinearEdit,
  lookup,
  nameMatches,
  nest,
  paramsAt,
  scope,
  type Spec,
  type Tensor,
  type Tree,
  type WeightEdit,
} from "../../core/mod.ts";
import { any, bounded, list, needed, record, seed } from "../../core/options/mod.ts";
import {
  add,
  gatherRows,
  identity,
  integers,
  matmul,
  multiply,
  ones,
  scatterAddRows,
  subtract,
} from "../../ops/mod.ts";
import type { PeftTensor } from "../peft/codec.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of trainable tokens. */
export interface TrainableTokensOptions {
  /** Ids of the rows, for every token embedding; or ids by name of an embedding or of a head. */
  readonly tokens: readonly number[] | Readonly<Record<string, readonly number[]>>;
}

/** One table and the ids of its trained rows. */
export interface TokenRows {
  /** The table. */
  readonly place: EmbeddingPlace | HeadPlace;
  /** Its trained rows. */
  readonly ids: readonly number[];
}

const ids = bounded(list(seed), "vocabulary");

/**
 * Trainable tokens as a method. Parameters: the rows [n, d] under their table's path, `model.embed_tokens.rows`.
 *
 * @throws {RangeError} when there is no id, or one repeats; at init and when grafted, when an id is not a row or a name
 * matches no table.
 * @example
 * ```ts
 * import { trainableTokens } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(trainableTokens({ tokens: [7, 3] }).name, "trainable-tokens");
 * ```
 */
export const trainableTokens: DefinedMethod<TrainableTokensOptions> = defineMethod<TrainableTokensOptions>({
  name: "trainable-tokens",
  summary: "Trains a few rows of the embedding.",
  facts: { trains: "n d", changes: "the same", source: "PEFT" },
  title: "trainable tokens",
  options: {
    tokens: needed(
      any<[readonly number[], Readonly<Record<string, readonly number[]>>]>(ids, record(ids)),
      "ids of the rows that train, for every token embedding or by name of a table",
    ),
  },
  create: (options) => {
    const { tokens } = options;
    for (const ids of isList(tokens) ? [tokens] : Object.values(tokens)) checkIds(ids);
    return {
      init: ({ model }) =>
        nest(
          tokenRows(model.spec, options).map(({ place, ids }) => {
            const table = lookup(model.weights, `${tableOf(place)}.weight`) as Tensor;
            return [
              `${place.path}.rows`,
              scope(() => gatherRows(table, integers(ids, model.backend))),
            ] as const;
          }),
        ) as Tree,
      edits: (params, spec) =>
        tokenRows(spec, options).map(({ place, ids }): Edit => {
          const { rows } = paramsAt(params, place.path) as { readonly rows: Tensor };
          return tableOf(place) === place.path
            ? replaceRows(`${place.path}.weight`, ids, rows)
            : replaceScores(place.path, ids, rows);
        }),
    };
  },
  cli: { rate: 1e-3, flags: [] },
  published: {
    setting: "10 rows",
    options: () => ({ tokens: Array.from({ length: 10 }, (_, i) => i) }),
  },
});

/**
 * The tables that options choose.
 *
 * @throws {RangeError} when an id is not a row, a name matches no table, or two match the same table.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig, tokenRows } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [rows] = tokenRows(spec, { tokens: [3, 7] });
 * assert.deepEqual([rows!.place.path, rows!.ids], ["model.embed_tokens", [3, 7]]);
 * assert.throws(() => tokenRows(spec, { tokens: [32] }), RangeError); // ids end at 31
 * ```
 */
export function tokenRows(spec: Spec, { tokens }: TrainableTokensOptions): readonly TokenRows[] {
  const inputs = spec.embeddings.filter((place) => place.role === "token");
  const found = isList(tokens)
    ? inputs.map((place) => ({ place, ids: tokens }))
    : Object.entries(tokens).flatMap(([name, ids]) => {
      const named = [...spec.embeddings, ...spec.heads].filter((place) => nameMatches(name, place.path));
      if (named.length === 0) {
        const all = [...spec.embeddings, ...spec.heads].map((place) => place.path).join(", ");
        throw rangeError(
          "NO_SUCH_PLACE",
          `"${name}" matches no table of rows in the model: there are ${all}`,
        );
      }
      return named.map((place) => ({ place, ids }));
    });
  for (const [n, { place }] of found.entries()) {
    if (found.findIndex((other) => other.place === place) < n) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected names of tokens to match "${place.path}" once but two of them do`,
      );
    }
  }
  for (const { place, ids } of found) {
    if (tableOf(place) !== place.path && found.some((other) => other.place.path === tableOf(place))) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot train other rows of "${place.path}" than of "${
          tableOf(place)
        }", to which it is tied: name one of the two`,
      );
    }
    const rows = rowShape(place)[0];
    const bad = ids.find((id) => id >= rows);
    if (bad !== undefined) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected token ids below ${rows} for "${place.path}" but found ${bad}`,
      );
    }
  }
  return found;
}

/**
 * The tensors of a PEFT folder: with `token_adapter.` before `trainable_tokens_delta` when combined with
 * LoRA, without it when alone.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig, tokenTensors } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [rows] = tokenTensors(spec, { tokens: [3, 7] }, "");
 * assert.equal(rows!.key, "model.embed_tokens.trainable_tokens_delta");
 * assert.deepEqual(rows!.shape, [2, 16]);
 * ```
 */
export function tokenTensors(
  spec: Spec,
  options: TrainableTokensOptions,
  wrapper: "token_adapter." | "",
): readonly PeftTensor[] {
  return tokenRows(spec, options).map(({ place, ids }) => ({
    path: `${place.path}.rows`,
    key: `${place.path}.${wrapper}trainable_tokens_delta`,
    shape: [ids.length, rowShape(place)[1]],
  }));
}

/** The path of the table of a place: for a tied head, the embedding. */
const tableOf = (place: EmbeddingPlace | HeadPlace): string =>
  place.kind === "head" ? place.tiedTo ?? place.path : place.path;

const rowShape = (place: EmbeddingPlace | HeadPlace): readonly [rows: number, width: number] =>
  place.kind === "head" ? [place.outFeatures, place.inFeatures] : [place.rows, place.width];

function replaceRows(path: string, ids: readonly number[], rows: Tensor): WeightEdit {
  return {
    kind: "weight",
    path,
    changes: rows.size,
    map: fn({ rows }, ({ rows }, { weight }) => replaced(weight, ids, rows)),
  };
}

/** E' [v, d]. */
function replaced(weight: Tensor, ids: readonly number[], rows: Tensor): Tensor {
  const at = integers(ids, weight.backend);
  const table = weight.dtype === "f32" ? weight : castTo(weight, "f32"); // [v, d]
  const [n, width] = table.shape as readonly [number, number];
  const isNew = scatterAddRows(ones([ids.length, 1], weight.backend), at, n, [1]); // [v, 1], 1 where new
  return add(multiply(table, subtract(1, isNew)), scatterAddRows(rows, at, n, [width]));
}

/** A tied head with its own rows for some tokens: y + x (rows − E[ids])ᵀ, at the ids. */
function replaceScores(path: string, ids: readonly number[], rows: Tensor): LinearEdit {
  return {
    kind: "linear",
    path,
    changes: rows.size,
    change: {
      form: "delta",
      reads: "input",
      delta: fn({ rows }, ({ rows }, call) => {
        const table = call.weight(); // [v, d]
        const at = integers(ids, table.backend);
        const moved = matmul(call.x, subtract(rows, gatherRows(table, at)), { transposeB: true }); // [.., n]
        const places = scatterAddRows(identity(ids.length, table.backend), at, table.shape[0]!, [ids.length]); // [v, n]
        return matmul(moved, places, { transposeB: true }); // [.., v]
      }),
      weight: fn({ rows }, ({ rows }, { weight }) => replaced(weight, ids, rows)),
    },
  };
}

const isList = (tokens: TrainableTokensOptions["tokens"]): tokens is readonly number[] =>
  Array.isArray(tokens);

function checkIds(ids: readonly number[]): void {
  if (ids.length === 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      'Expected trainable-tokens\'s option "tokens" to have at least one token id but found none',
    );
  }
  const repeated = ids.find((id, i) => ids.indexOf(id) !== i);
  if (repeated !== undefined) {
    throw rangeError("INVALID_ARGUMENT", `Expected each token id once but found ${repeated} again`);
  }
}

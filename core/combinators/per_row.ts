/**
 * Different adapters for different rows of one batch. Every edit of an adapter carries the adapter's name; a
 * pass groups the rows by name, runs each group with that adapter's edits alone and restores the order of the
 * results. So a row's result does not depend on the other rows, whatever the edits do: change weights, put
 * rows before the text, run alongside the blocks.
 */
import { compose } from "./compose.ts";
import { combined } from "./combined.ts";
import { defineCombinator } from "./define_combinator.ts";
import type { Adapter, Method, MethodDefinition } from "../adapters/method.ts";
import type { Batch, Cache, ForwardOptions, Model } from "../trees/model.ts";
import { concat, gatherRows, integers } from "../../ops/mod.ts";
import { allEdits, type Branch, EDITS } from "../trees/weights.ts";
import { Tensor, type Tree } from "../../tensor/mod.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/**
 * Combines several adapters into one: each row of a batch names its adapter in `rows`, null for none; edits
 * grafted separately apply to all rows. Works with adapters of any methods, also different ones. Parameters:
 * those of each adapter under its name. No weight can store the choice, so it cannot be merged.
 *
 * @throws {RangeError} when there is no adapter; at `edits`, when one of them is itself a `perRow` adapter.
 * @example
 * ```ts
 * import { adapt, forward, freshModel, graft, lora, perRow, prefixTuning, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const polite = adapt(model, prefixTuning({ length: 2, network: "none" }));
 * const both = graft(model, perRow({ german: adapt(model, lora()), polite }));
 * const inputIds = [[1, 2, 3], [1, 2, 3], [1, 2, 3]];
 * const { logits } = forward(both, { inputIds, rows: ["german", "polite", null] });
 * assert.deepEqual(logits.shape, [3, 3, 32]);
 * ```
 */
export function perRow(adapters: Readonly<Record<string, Adapter>>): Adapter {
  const names = Object.keys(adapters);
  if (names.length === 0) {
    throw rangeError("INVALID_BATCH", "Expected at least one adapter for the rows of a batch but found none");
  }
  return {
    method: rowMethod(Object.fromEntries(names.map((name) => [name, adapters[name]!.method]))),
    params: Object.fromEntries(names.map((name) => [name, adapters[name]!.params])),
  };
}

function rowMethod(methods: Readonly<Record<string, Method>>): Method {
  return combined<Tree>({
    definition: perRowDefinition,
    name: `perRow(${Object.keys(methods).join(", ")})`,
    components: methods,
    init: compose(methods).init,
    edits: (params, spec) =>
      Object.entries(methods).flatMap(([name, method]) =>
        method.edits(params[name] as Tree, spec).map((edit) => {
          if (edit.row !== undefined) {
            throw rangeError(
              "INVALID_BATCH",
              `Cannot give rows the adapter "${name}": it is itself one by rows; name its components instead`,
            );
          }
          return { ...edit, row: name };
        })
      ),
    of: perRow,
  });
}

/** `perRow` in records. */
export const perRowDefinition: MethodDefinition = defineCombinator(
  { name: "per-row", summary: "Gives each row of a batch an adapter of its own." },
  {},
  (_, components) => perRow(components).method,
);

/** Rows of a batch with the same adapter, and the model with that adapter's edits and those for all rows. */
export interface RowGroup<M extends Model = Model> {
  /** null for rows without an adapter. */
  readonly name: string | null;
  readonly rows: readonly number[];
  readonly model: M;
}

/**
 * The rows of a batch grouped by adapter; undefined where the model has no per-row adapters.
 *
 * @throws {RangeError} when the batch names adapters that the model lacks, or names none where the model has
 * them.
 */
export function rowGroups<M extends Model>(
  model: M,
  { rows, inputIds }: Batch,
): readonly RowGroup<M>[] | undefined {
  const known = new Set(allEdits(model.weights).flatMap(({ row }) => row === undefined ? [] : [row]));
  if (known.size === 0) {
    if (rows === undefined || rows.every((name) => name === null)) return undefined;
    throw rangeError(
      "INVALID_BATCH",
      "The batch names adapters for its rows but the model has none by rows: graft perRow(…)",
    );
  }
  const list = [...known].sort().join(", ");
  if (rows === undefined || rows.length !== inputIds.length) {
    throw rangeError(
      "INVALID_BATCH",
      `Expected an adapter's name for each of ${inputIds.length} rows (${list}, or null) but found ${
        rows?.length ?? 0
      }`,
    );
  }
  const bad = rows.find((name) => name !== null && !known.has(name));
  if (bad !== undefined) {
    throw rangeError("INVALID_BATCH", `Expected rows to name ${list}, or null, but found "${bad}"`);
  }
  return [...new Set(rows)].map((name) => ({
    name,
    rows: rows.flatMap((other, i) => other === name ? [i] : []),
    model: { ...model, weights: underRow(model.weights, name), dispose: () => {} },
  }));
}

/** Some rows of a batch. */
export function batchRows({ rows: _, ...batch }: Batch, rows: readonly number[]): Batch {
  const fields = Object.entries(batch as Readonly<Record<string, readonly unknown[]>>);
  return {
    ...batch,
    ...Object.fromEntries(fields.map(([name, values]) => [name, values && rows.map((i) => values[i])])),
  };
}

/** The result of a pass, with one entry per row along the first axis, and its cache. */
export interface RowResult {
  readonly result: Tensor;
  readonly cache: Cache | undefined;
}

/** Runs a pass, separately for each group of rows where the model has per-row adapters. */
export function byRows(
  model: Model,
  batch: Batch,
  options: ForwardOptions,
  run: (model: Model, batch: Batch, options: ForwardOptions) => RowResult,
): RowResult {
  const groups = rowGroups(model, batch);
  if (groups === undefined) return run(model, batch, options);
  const { cache, ...others } = options;
  if (cache !== undefined && !sameGroups(cache.rows ?? [], groups)) {
    throw typeError(
      "INVALID_BATCH",
      "Cannot continue a cache under other adapters by rows: start anew from the text",
    );
  }
  const parts = groups.map((group, i) => {
    const own = cache?.rows?.[i]?.cache;
    return run(group.model, batchRows(batch, group.rows), { ...others, ...own && { cache: own } });
  });
  const order = groups.flatMap(({ rows }) => rows); // the batch row of each joined result
  const back = batch.inputIds.map((_, row) => order.indexOf(row));
  return {
    result: gatherRows(concat(parts.map(({ result }) => result), 0), integers(back, model.backend)),
    cache: parts.some((part) => part.cache === undefined) ? undefined : {
      length: Math.max(...parts.map((part) => part.cache!.length)),
      entries: {},
      mask: undefined,
      rows: groups.map(({ name, rows }, i) => ({ name, rows, cache: parts[i]!.cache! })),
    },
  };
}

function sameGroups(cached: NonNullable<Cache["rows"]>, groups: readonly RowGroup[]): boolean {
  return cached.length === groups.length &&
    groups.every(({ name, rows }, i) => cached[i]!.name === name && cached[i]!.rows.join() === rows.join());
}

/** The tree with the edits of one per-row adapter and those for all rows. */
function underRow(weights: Branch, name: string | null): Branch {
  const result: Record<string, Tensor | Branch> = {};
  for (const [child, node] of Object.entries(weights)) {
    result[child] = node instanceof Tensor ? node : underRow(node, name);
  }
  const edits = weights[EDITS]?.flatMap((edit) => {
    const { row, ...all } = edit;
    return row === undefined || row === name ? [all as typeof edit] : [];
  });
  return edits === undefined ? result : { ...result, [EDITS]: edits };
}

/** Rows of prompts before a stack's text, within it and onto it. */
import type { Tensor } from "../../tensor/mod.ts";
import { concat } from "../../ops/mod.ts";
import type { PromptEdit } from "../edits/edit.ts";
import { callAt, keyed, type Pass } from "./pass.ts";
import { editsAt, type Site } from "../trees/weights.ts";

/**
 * The rows of the prompts before a stack's text, or undefined: [n, d] each, the last grafted outermost.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, graft, into, promptTuning, reference, rootOf, smallConfig } from "@graft/peft";
 * import { promptRows } from "@graft/peft/core";
 * import { barePass } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { weights } = graft(model, adapt(model, promptTuning({ length: 4 })));
 * const rows = promptRows(barePass(model, {}), into(rootOf(weights), "model"));
 * assert.deepEqual(rows?.shape, [4, 16]);
 * ```
 */
export function promptRows(pass: Pass, site: Site, where: PromptPlace = "front"): Tensor | undefined {
  const there = startingPrompts(pass, site).filter(({ edit }) => (edit.where ?? "front") === where);
  return there.length === 0 ? undefined : concat(there.map(({ rows }) => rows()).reverse(), 0);
}

/**
 * The number of rows of the prompts before the text (or at another `where`).
 *
 * @example
 * ```ts
 * import { adapt, freshModel, graft, into, promptTuning, reference, rootOf, smallConfig } from "@graft/peft";
 * import { promptLength } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { weights } = graft(model, adapt(model, promptTuning({ length: 4 })));
 * assert.equal(promptLength(into(rootOf(weights), "model")), 4);
 * ```
 */
export function promptLength(site: Site, where: PromptPlace = "front"): number {
  return editsAt(site.branch, "prompt")
    .reduce((n, edit) => (edit.where ?? "front") === where ? n + edit.length : n, 0);
}

/** A label of a prompt row, with the distance of the row that predicts it from the text's first token. */
export interface LabelFromPrompt {
  /** Rows before the text's first token, from 1: the last row. */
  readonly back: number;
  /** The token. */
  readonly id: number;
  /** The weight of its loss. */
  readonly weight: number;
}

/**
 * The labels of the prompts before the text, outermost prompts included. The first row has no row before it
 * that could predict it.
 *
 * @example
 * ```ts
 * import { adapt, contextPromptTuning, freshModel, graft, into, reference, rootOf, smallConfig } from "@graft/peft";
 * import { promptLabels } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const method = contextPromptTuning({ tokens: [5, 6, 7], types: [2, 3, 4] });
 * const { weights } = graft(model, adapt(model, method));
 * // Row 2 is told by row 1, the last but one.
 * assert.deepEqual(promptLabels(into(rootOf(weights), "model")), [{ back: 2, id: 7, weight: 1 }]);
 * ```
 */
export function promptLabels(site: Site): readonly LabelFromPrompt[] {
  const front = editsAt(site.branch, "prompt").filter(({ where = "front" }) => where === "front");
  const total = front.reduce((n, { length }) => n + length, 0);
  let end = total; // the last grafted is outermost
  return front.flatMap(({ length, labels = [] }) => {
    const start = end -= length;
    return labels.filter(({ row }) => start + row > 0)
      .map(({ row, id, weight }) => ({ back: total - (start + row) + 1, id, weight }));
  });
}

/** Where prompts add rows: before the embedded text, or where it enters the blocks. */
export type PromptPlace = "front" | "entered" | "afterFirst";

/** Rows [n, d] that replace the n tokens with a given id. */
export interface SlotRows {
  /** The id of the tokens that the rows replace. */
  readonly token: number;
  /** How many rows. */
  readonly length: number;
  /** [n, d]. */
  rows(): Tensor;
}

/**
 * The prompts within a stack's text. Only the pass that begins a text needs them: afterwards the cache holds
 * them.
 *
 * @example
 * ```ts
 * import { adapt, freshModel, graft, into, promptTuning, reference, rootOf, smallConfig } from "@graft/peft";
 * import { slotRows } from "@graft/peft/core";
 * import { barePass } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const site = into(rootOf(graft(model, adapt(model, promptTuning({ length: 4 }))).weights), "model");
 * assert.deepEqual(slotRows(barePass(model, {}), site), []); // these rows stand before the text, not inside
 * ```
 */
export function slotRows(pass: Pass, site: Site): readonly SlotRows[] {
  return startingPrompts(pass, site).flatMap(({ edit, rows }) => {
    const token = slotToken(edit);
    return token === undefined ? [] : [{ token, length: edit.length, rows }];
  });
}

/**
 * The rows [n, d] that prompts add to the text's own first tokens, one for each prompt. A pass that continues a
 * text needs them too.
 *
 * @example
 * ```ts
 * import { fn, freshModel, into, type PromptEdit, reference, rootOf, smallConfig, withEdits } from "@graft/peft";
 * import { ones } from "@graft/peft/ops";
 * import { ontoRows } from "@graft/peft/core";
 * import { barePass } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const model = freshModel(smallConfig("llama"), { backend, key: 0 });
 * const rows = fn({ rows: ones([8, 16], backend) }, ({ rows }) => rows);
 * const edit: PromptEdit = { kind: "prompt", path: "model", length: 8, where: "onto", rows };
 * const site = into(rootOf(withEdits(model.weights, [edit], "ones")), "model");
 * assert.deepEqual(ontoRows(barePass(model, {}), site).map(({ shape }) => shape), [[8, 16]]);
 * ```
 */
export function ontoRows(pass: Pass, site: Site): readonly Tensor[] {
  return promptsAt(pass, site).filter(({ edit }) => edit.where === "onto").map(({ rows }) => rows());
}

const slotToken = ({ where = "front" }: PromptEdit): number | undefined =>
  typeof where === "string" ? undefined : where.token;

/** A prompt and its rows. */
interface Prompt {
  readonly edit: PromptEdit;
  rows(): Tensor;
}

/** The prompts of a pass that begins a text; a later one has them in its cache. */
const startingPrompts = (pass: Pass, site: Site): readonly Prompt[] =>
  pass.cache === undefined ? promptsAt(pass, site) : [];

function promptsAt(pass: Pass, site: Site): readonly Prompt[] {
  const call = callAt(pass, site.path);
  return editsAt(site.branch, "prompt").map((edit, i) => ({
    edit,
    rows: () => edit.rows.run(keyed(call, "prompt", i)),
  }));
}

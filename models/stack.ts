/**
 * The common part of all stacks of blocks: from tokens to states through embedding, prompts, blocks, side
 * networks and the final norm, with padding, packing, a key-value cache and recomputation handled once. Used
 * by decoders, encoders and both of T5's stacks.
 */
import {
  type Batch,
  type Cache,
  callAt,
  checkpoint,
  detach,
  editsAt,
  type ForwardOptions,
  hidden,
  key as keyOf,
  type Model,
  type Pass,
  prefixPositions,
  promptLabels,
  promptLength,
  type PromptPlace,
  promptRows,
  rootOf,
  scope,
  type Site,
  type States,
  type Synchronous,
  type Tensor,
  type Tree,
  weightPass,
  withoutEdits,
} from "../core/mod.ts";
import { broadcastTo, concat, integers, reshape, slice } from "../ops/mod.ts";
import { childSite } from "./site.ts";
import { checkBatch, maskOf, ownTokens, packing, positionsOf, promptMask } from "./stack_batch.ts";
import { runSideNetworks, type SideBlock } from "./side_networks.ts";
import { fillPromptSlots } from "./prompt_slots.ts";
import { withRowsOnto } from "./rows_onto.ts";
import { rangeError, typeError } from "../errors/error.ts";

/**
 * The parts in which stacks differ. `C` is data shared by all blocks of a pass (rotary tables, relative
 * positions).
 */
export interface StackParts<C> {
  /** Path of the stack ("model", "transformer", "encoder"; "" at the root). */
  readonly stack: string;
  /** Path of the list of blocks below it ("layers", "h", "encoder.layer"). */
  readonly blocks: string;
  /** How many blocks. */
  readonly layers: number;
  /** Rows of the token table. */
  readonly vocabulary: number;
  /** Maximum number of tokens in a text. */
  readonly context: number;
  /**
   * Treatment of the prompts' states: "cut" before the final norm (default), or "kept" for another stack to
   * read.
   */
  readonly prompts?: "cut" | "kept";
  /** Rows of the token table. */
  embed(pass: Pass, root: Site, ids: Tensor): Tensor;
  /** Adds absolute positions and similar, where the model has them. positions [1 or b][t]. */
  position?(pass: Pass, root: Site, x: Tensor, positions: readonly (readonly number[])[]): Tensor;
  /** Data shared by the blocks. Default: undefined. */
  share?(pass: Pass, root: Site, positions: readonly (readonly number[])[]): C;
  /** One block: x [b, t, d] → [b, t, d]. */
  block(pass: Pass, site: Site, x: Tensor, shared: C): Tensor;
  /** A block of the n-th side network, where it reads that network's memory. Default: the stack's `block`. */
  sideBlock?(pass: Pass, site: Site, x: Tensor, shared: C, n: number): Tensor;
  /** The final norm, where there is one. */
  finish?(pass: Pass, root: Site, x: Tensor): Tensor;
  /** States of the bare base, for edits that read them. Default: this stack over the bare weights. */
  bare?(model: Model, options: ForwardOptions): States;
}

/** The places at which prompts add rows. */
const PLACES: readonly PromptPlace[] = ["front", "entered", "afterFirst"];

/** States, and which positions are hidden: f32 [b, s], undefined when none is. */
export interface StackStates extends States {
  /** f32 [b, s], 0 on padding. */
  readonly mask: Tensor | undefined;
  /** What side networks read instead of the states, [b, s, n] each, in the order of grafting. */
  readonly memories: readonly Tensor[];
}

/**
 * Runs a stack on a batch of its own tokens. See `Architecture.states`.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { embedding, into } from "@graft/peft/core";
 * import { type StackParts, stackStates } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const parts: StackParts<undefined> = { // a stack without blocks: the rows of the token table
 *   ...{ stack: "model", blocks: "layers", layers: 0, vocabulary: 32, context: 64 },
 *   embed: (pass, root, ids) => embedding(pass, into(root, "model", "embed_tokens"), ids),
 *   block: (_, __, x) => x,
 * };
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(stackStates(model, { inputIds: [[1, 2, 3]] }, {}, parts).states.shape, [1, 3, 16]);
 * ```
 */
export function stackStates<C>(
  model: Model,
  batch: Batch,
  options: ForwardOptions,
  parts: StackParts<C>,
): StackStates {
  const rows = batch.inputIds;
  const [b, t] = [rows.length, rows[0]?.length ?? 0];
  const root = rootOf(model.weights, weightPass(options));
  const stack = childSite(root, parts.stack);
  const past = options.cache?.length ?? 0;
  const lengths = PLACES.map((where) => promptLength(stack, where)) as [number, number, number];
  const [front, entering, afterFirst] = past > 0 ? [0, 0, 0] : lengths;
  const prompts = front + entering + afterFirst;
  const start = prefixPositions(stack);
  const own = ownTokens(batch);
  const ownRows = lengths[0] + lengths[1] + lengths[2];
  const total = own === undefined ? past + prompts + t : ownRows + own;
  checkBatch(batch, parts, start + total, start + ownRows, options);

  const signals = new Map<string, Tensor>();
  const ids = integers(rows.flat(), model.backend, [b, t]);
  const pass: Pass = {
    train: options.train ?? false,
    key: options.key === undefined ? undefined : keyOf(options.key),
    phase: options.train ? "train" : past > 0 ? "decode" : "prompt",
    ids,
    mask: maskOf(batch, options.cache, prompts, model),
    given: promptMask(batch, model),
    bias: packing(batch, prompts, model),
    cache: options.cache,
    keep: options.keepCache ?? options.cache !== undefined ? new Map() : undefined,
    taps: editsAt(stack.branch, "side").length > 0 ? new Map() : undefined,
    signal: (name) => {
      const value = signals.get(name);
      if (value === undefined) {
        throw rangeError("METHOD_DOES_NOT_FIT", `No edit computed the signal "${name}" before it was read`);
      }
      return value;
    },
  };

  const prepass = prepassStates(model, batch, options, parts, pass, stack);
  for (const edit of editsAt(stack.branch, "prepass")) {
    if (signals.has(edit.name)) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Two edits compute the signal "${edit.name}": give one another name`,
      );
    }
    signals.set(edit.name, edit.run.run({ ...callAt(pass, edit.path), states: prepass!.states }));
  }

  const { positions, inBlocks } = positionsOf(batch, lengths, start, past);
  const share = (root: Site): C => parts.share?.(pass, root, inBlocks) as C;
  const shared = share(root);
  const prompt = (where: PromptPlace): readonly Tensor[] => {
    const own = promptRows(pass, stack, where);
    return own === undefined ? [] : [broadcastTo(reshape(own, [1, ...own.shape]), [b, ...own.shape])]; // [b, n, d]
  };
  const filled = fillPromptSlots(pass, stack, batch, parts.embed(pass, root, ids));
  const embedded = withRowsOnto(pass, stack, filled, { positions, ahead: start + lengths[0] });
  const entered = concat([...prompt("front"), embedded], 1);
  const placed = parts.position?.(pass, root, entered, positions) ?? entered;
  const text = hidden(pass, stack, { x: placed, skip: undefined }, placed);
  const behind = prompt("afterFirst");
  let x = concat(
    behind.length === 0
      ? [...prompt("entered"), text]
      : [...prompt("entered"), slice(text, 1, 0, 1), ...behind, slice(text, 1, 1, text.shape[1]!)],
    1,
  );
  pass.taps?.set(-1, detach(x));
  for (let layer = 0; layer < parts.layers; layer++) {
    const site = childSite(stack, `${parts.blocks}.${layer}`);
    x = runBlock(pass, site, x, shared, parts, options);
    pass.taps?.set(layer, detach(x));
  }
  const cut = parts.prompts === "kept" ? 0 : prompts;
  if (cut > 0 && afterFirst > 0) x = firstBehind(x, afterFirst, entering);
  // The prompt's last row is kept, since it predicts a causal model's first token; all rows are kept if they
  // have labels.
  const telling = cut > 0 && promptLabels(stack).length > 0 ? cut : 1;
  const normed = finishedBy(parts, pass, root, cut > 0 ? slice(x, 1, cut - telling, cut + t) : x);
  const finished = cut > 0 ? slice(normed, 1, telling, telling + t) : normed;
  const others = new Map<Tree, C>();
  const sharedOf = (weights: Tree): C =>
    others.get(weights) ?? others.set(weights, share(rootOf(weights))).get(weights)!;
  const block: SideBlock = (site, y, n, weights) => {
    const own = weights === undefined ? shared : sharedOf(weights);
    const { sideBlock } = parts;
    const run: StackParts<C>["block"] = (...of) => sideBlock?.(...of, n) ?? parts.block(...of);
    return runBlock(pass, site, y, own, { ...parts, block: run }, options);
  };
  const { states, memories } = runSideNetworks(pass, model, stack, finished, {
    block,
    finish: (root, y) => finishedBy(parts, pass, root, cut > 0 ? slice(y, 1, cut, y.shape[1]!) : y),
    layers: parts.layers,
  });
  return {
    states,
    memories,
    cache: nextCache(pass, past + prompts + t, prepass?.cache),
    mask: pass.mask,
    ...cut > 0 && pass.taps === undefined && { before: slice(normed, 1, 0, telling) },
  };
}

function finishedBy<C>(parts: StackParts<C>, pass: Pass, root: Site, x: Tensor): Tensor {
  return parts.finish?.(pass, root, x) ?? x;
}

/**
 * Moves the rows after the first token to before it, so that all prompts precede the text: x [b, n + t, d].
 */
function firstBehind(x: Tensor, n: number, before: number): Tensor {
  const part = (from: number, to: number): Tensor => slice(x, 1, from, to);
  return concat(
    [
      part(0, before),
      part(before + 1, before + 1 + n),
      part(before, before + 1),
      part(before + 1 + n, x.shape[1]!),
    ].filter((t) => t.shape[1]! > 0),
    1,
  );
}

/**
 * One block in its own scope, which frees what neither the result nor its derivative needs; cached keys and
 * values outlive it.
 */
function runBlock<C>(
  pass: Pass,
  site: Site,
  x: Tensor,
  shared: C,
  parts: StackParts<C>,
  options: ForwardOptions,
): Tensor {
  const run = (): Tensor => parts.block(withSignals(pass, site, x), site, x, shared);
  return scope((): Synchronous<{ readonly x: Tensor; readonly entries: readonly unknown[] }> => {
    const before = pass.keep?.size ?? 0;
    const next = options.checkpointBlocks ? checkpoint(run) : run();
    return { x: next, entries: [...pass.keep?.values() ?? []].slice(before) };
  }).x;
}

/** The pass within a block, with the values that edits compute from its input. */
function withSignals(pass: Pass, site: Site, x: Tensor): Pass {
  const edits = editsAt(site.branch, "prepass");
  if (edits.length === 0) return pass;
  const own = new Map(
    edits.map((edit) => [edit.name, edit.run.run({ ...callAt(pass, edit.path), states: x })]),
  );
  if (own.size < edits.length) {
    throw rangeError("METHOD_DOES_NOT_FIT", `Two edits at "${site.path}" compute one signal: rename one`);
  }
  return { ...pass, signal: (name) => own.get(name) ?? pass.signal(name) };
}

/**
 * The bare base's states, when an edit needs them; its keys and values are cached alongside the adapted
 * model's.
 */
function prepassStates<C>(
  model: Model,
  batch: Batch,
  options: ForwardOptions,
  parts: StackParts<C>,
  pass: Pass,
  stack: Site,
): States | undefined {
  if (editsAt(stack.branch, "prepass").length === 0) return undefined;
  const bare = { ...model, weights: withoutEdits(model.weights) };
  const cache = options.cache?.prepass;
  if (options.cache !== undefined && cache === undefined) {
    throw typeError(
      "METHOD_DOES_NOT_FIT",
      "Cannot continue a cache that was begun without this adapter: start anew from the text",
    );
  }
  const again: ForwardOptions = { keepCache: pass.keep !== undefined, ...cache && { cache } };
  return scope((): Synchronous<States> =>
    parts.bare?.(bare, again) ?? stackStates(bare, batch, again, parts)
  );
}

function nextCache(pass: Pass, length: number, prepass: Cache | undefined): Cache | undefined {
  if (pass.keep === undefined) return undefined;
  return { length, entries: Object.fromEntries(pass.keep), mask: pass.mask, ...prepass && { prepass } };
}

/**
 * What all decoder-only models share: tokens to states through embedding, prompts, blocks, side networks and the final
 * norm, with padding, packing, a key-value cache and recomputation handled once.
 */
import {
  type Batch,
  type Cache,
  callAt,
  checkpoint,
  detach,
  editsAt,
  type ForwardOptions,
  into,
  key as keyOf,
  type Model,
  type Pass,
  prefixPositions,
  promptLength,
  promptRows,
  rootOf,
  scope,
  type Site,
  type States,
  type Synchronous,
  type Tensor,
  tensor,
  type Tree,
  withoutEdits,
} from "../core/mod.ts";
import { broadcastTo, concat, full, integers, reshape, slice } from "../ops/mod.ts";

/** The parts in which decoders differ. `C` is what all blocks of a pass share (rotary tables). */
export interface DecoderParts<C> {
  /** Path of the stack ("model", "transformer"). */
  readonly stack: string;
  /** Name of the list of blocks below it ("layers", "h"). */
  readonly blocks: string;
  readonly layers: number;
  readonly vocabulary: number;
  readonly context: number;
  /** Rows of the token table. */
  embed(pass: Pass, root: Site, ids: Tensor): Tensor;
  /** Adds absolute positions, where the model has them. positions [rows][t]. */
  position(pass: Pass, root: Site, x: Tensor, positions: readonly (readonly number[])[]): Tensor;
  /** What the blocks share. */
  share(positions: readonly (readonly number[])[]): C;
  /** One block: x [b, t, d] → [b, t, d]. */
  block(pass: Pass, site: Site, x: Tensor, shared: C): Tensor;
  /** The final norm. */
  finish(pass: Pass, root: Site, x: Tensor): Tensor;
}

/** Runs a decoder. See `Architecture.states`. */
export function decoderStates<C>(
  model: Model,
  batch: Batch,
  options: ForwardOptions,
  parts: DecoderParts<C>,
): States {
  const rows = batch.inputIds;
  const [b, t] = [rows.length, rows[0]?.length ?? 0];
  const root = rootOf(model.weights);
  const stack = into(root, ...parts.stack.split("."));
  const past = options.cache?.length ?? 0;
  const prompts = past > 0 ? 0 : promptLength(stack);
  const start = prefixPositions(stack);
  check(batch, parts, start + past + prompts + t, options);

  const signals = new Map<string, Tensor>();
  const ids = integers(rows.flat(), model.backend, [b, t]);
  const pass: Pass = {
    train: options.train ?? false,
    key: options.key === undefined ? undefined : keyOf(options.key),
    phase: options.train ? "train" : past > 0 ? "decode" : "prompt",
    ids,
    mask: maskOf(batch, options.cache, prompts, model),
    bias: packing(batch, prompts, model),
    cache: options.cache,
    keep: options.keepCache ?? options.cache !== undefined ? new Map() : undefined,
    taps: editsAt(stack.branch, "side").length > 0 ? new Map() : undefined,
    signal: (name) => {
      const value = signals.get(name);
      if (value === undefined) {
        throw new RangeError(`No edit computed the signal "${name}" before it was read`);
      }
      return value;
    },
  };

  const prepass = prepassStates(model, batch, options, parts, pass, stack);
  for (const edit of editsAt(stack.branch, "prepass")) {
    if (signals.has(edit.name)) {
      throw new RangeError(`Two edits compute the signal "${edit.name}": give one another name`);
    }
    signals.set(edit.name, edit.run.run({ ...callAt(pass, edit.path), states: prepass!.states }));
  }

  const positions = positionsOf(batch, start, past, prompts, promptLength(stack));
  const shared = parts.share(positions);
  const front = promptRows(pass, stack);
  const embedded = parts.embed(pass, root, ids);
  const entered = front === undefined
    ? embedded
    : concat([broadcastTo(reshape(front, [1, ...front.shape]), [b, ...front.shape]), embedded], 1);
  let x = parts.position(pass, root, entered, positions);
  pass.taps?.set(-1, detach(x));
  for (let layer = 0; layer < parts.layers; layer++) {
    const site = into(stack, parts.blocks, layer);
    const input = x;
    const run = (): Tensor => parts.block(pass, site, input, shared);
    // The scope frees what neither the result nor its derivative needs; cached keys and values must outlive it.
    const kept = scope((): Synchronous<{ readonly x: Tensor; readonly entries: readonly unknown[] }> => {
      const before = pass.keep?.size ?? 0;
      const next = options.checkpointBlocks ? checkpoint(run) : run();
      return { x: next, entries: [...pass.keep?.values() ?? []].slice(before) };
    });
    x = kept.x;
    pass.taps?.set(layer, detach(x));
  }
  const finished = parts.finish(pass, root, prompts > 0 ? slice(x, 1, prompts, prompts + t) : x);
  const states = beside(pass, stack, finished, shared, prompts, parts);
  return { states, cache: nextCache(pass, past + prompts + t, prepass?.cache) };
}

/** The bare base's states, when an edit wants them; its keys and values are cached beside the adapted model's. */
function prepassStates<C>(
  model: Model,
  batch: Batch,
  options: ForwardOptions,
  parts: DecoderParts<C>,
  pass: Pass,
  stack: Site,
): States | undefined {
  if (editsAt(stack.branch, "prepass").length === 0) return undefined;
  const bare = { ...model, weights: withoutEdits(model.weights) };
  const cache = options.cache?.prepass;
  if (options.cache !== undefined && cache === undefined) {
    throw new TypeError(
      "Cannot continue a cache that was begun without this adapter: start anew from the text",
    );
  }
  return scope((): Synchronous<States> =>
    decoderStates(bare, batch, { keepCache: pass.keep !== undefined, ...cache && { cache } }, parts)
  );
}

/** Lets side networks put their own states in place of the stack's. */
function beside<C>(
  pass: Pass,
  stack: Site,
  finished: Tensor,
  shared: C,
  prompts: number,
  parts: DecoderParts<C>,
): Tensor {
  return editsAt(stack.branch, "side").reduce((states, edit, i) =>
    edit.run.run({
      ...callAt(pass, edit.path),
      states: detach(states),
      tap: (layer) => {
        const tap = pass.taps!.get(layer);
        if (tap === undefined) {
          throw new RangeError(`Cannot tap block ${layer}: the stack has ${parts.layers}`);
        }
        return tap;
      },
      block: (weights: Tree, y, name) =>
        parts.block(pass, { branch: weights, path: `${edit.path}.side.${i}.${name}` }, y, shared),
      finish: (weights: Tree, y) =>
        parts.finish(pass, rootOf(weights), prompts > 0 ? slice(y, 1, prompts, y.shape[1]!) : y),
    }), finished);
}

function nextCache(pass: Pass, length: number, prepass: Cache | undefined): Cache | undefined {
  if (pass.keep === undefined) return undefined;
  return {
    length,
    entries: Object.fromEntries(pass.keep),
    mask: pass.mask,
    ...prepass && { prepass },
  };
}

/**
 * Positions of `prompts` new prompt rows and of the new tokens, the first of which is `start`: prefixes take those before.
 * Given positions count a text's own tokens, whose first stands after all `promptRows`, also when they lie in the cache.
 */
function positionsOf(
  batch: Batch,
  start: number,
  past: number,
  prompts: number,
  promptRows: number,
): readonly (readonly number[])[] {
  const front = Array.from({ length: prompts }, (_, i) => start + i);
  if (batch.positionIds !== undefined) {
    return batch.positionIds.map((row) => [...front, ...row.map((p) => start + promptRows + p)]);
  }
  return [[...front, ...batch.inputIds[0]!.map((_, i) => start + past + prompts + i)]];
}

/** f32 [b, s] over cached, prompt and new positions; undefined when nothing is hidden. */
function maskOf(batch: Batch, cache: Cache | undefined, prompts: number, model: Model): Tensor | undefined {
  const hidden = batch.attentionMask?.some((row) => row.includes(0)) ?? false;
  if (!hidden && cache?.mask === undefined) return undefined;
  const [b, t] = [batch.inputIds.length, batch.inputIds[0]!.length];
  const now = batch.attentionMask === undefined
    ? full([b, t], 1, model.backend)
    : reshape(fromRows(batch.attentionMask, model), [b, t]);
  const past = cache === undefined
    ? prompts > 0 ? [full([b, prompts], 1, model.backend)] : []
    : [cache.mask ?? full([b, cache.length], 1, model.backend)];
  return concat([...past, now], 1);
}

/** 0 between tokens of one packed text, −1e9 across texts: [b, 1, t, s]. */
function packing(batch: Batch, prompts: number, model: Model): Tensor | undefined {
  if (batch.segmentIds === undefined) return undefined;
  if (prompts > 0) {
    throw new RangeError("Cannot pack texts under a prompt: each text would need its own; use buckets");
  }
  const t = batch.inputIds[0]!.length;
  const flat = batch.segmentIds.flatMap((row) => row.flatMap((q) => row.map((k) => q === k ? 0 : -1e9)));
  return reshape(fromRows([flat], model), [batch.inputIds.length, 1, t, t]);
}

function fromRows(rows: readonly (readonly number[])[], model: Model): Tensor {
  return tensor(Float32Array.from(rows.flat()), { backend: model.backend });
}

function check(batch: Batch, parts: DecoderParts<unknown>, total: number, options: ForwardOptions): void {
  const width = batch.inputIds[0]?.length ?? 0;
  if (width === 0) {
    throw new RangeError("Expected at least one token in every row of inputIds but found none");
  }
  for (const [i, row] of batch.inputIds.entries()) {
    if (row.length !== width) {
      throw new RangeError(
        `Expected rows of equal length but row 0 has ${width} ids and row ${i} has ${row.length}: pad them`,
      );
    }
    const bad = row.find((id) => !(Number.isInteger(id) && id >= 0 && id < parts.vocabulary));
    if (bad !== undefined) {
      throw new RangeError(`Expected token ids from 0 to ${parts.vocabulary - 1} but row ${i} has ${bad}`);
    }
  }
  for (const name of ["attentionMask", "positionIds", "segmentIds", "labels"] as const) {
    const rows = batch[name];
    if (rows === undefined) continue;
    if (rows.length !== batch.inputIds.length || rows.some((row) => row.length !== width)) {
      throw new RangeError(`Expected ${name} of the shape of inputIds [${batch.inputIds.length}, ${width}]`);
    }
  }
  if (total > parts.context) {
    throw new RangeError(
      `The text has ${total} tokens but the model's context holds ${parts.context}: shorten it`,
    );
  }
  if (options.train === true && options.key === undefined) {
    throw new TypeError(
      "Expected a key for a pass with train: true, since dropout and routing are functions of it",
    );
  }
}

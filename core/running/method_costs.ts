/**
 * What a method costs on a model, computed from shapes: parameters, storage, optimizer state, how far the
 * backward pass goes into the base, whether weights can hold it, and what it adds to a pass. Nothing is
 * quoted from papers and no weight is read.
 */
import {
  isTracked,
  leaves,
  scope,
  type Storage,
  type Synchronous,
  Tensor,
  tensorsIn,
  trainable,
  type Tree,
  valueAndGrad,
} from "../../tensor/mod.ts";
import { type CountingBackend, countingShapes, integers, sum, zeros } from "../../ops/mod.ts";
import { adapt } from "../combinators/compose.ts";
import { count, type Counts } from "../adapters/count.ts";
import { type Edit, fn, type HiddenEdit, type LinearEdit } from "../edits/edit.ts";
import { forward } from "./forward.ts";
import { graft, withEdits } from "../adapters/graft.ts";
import { merge } from "../adapters/merge.ts";
import type { Adapter, Method } from "../adapters/method.ts";
import type { Batch, Model } from "../trees/model.ts";
import { shapesOn } from "../trees/shapes_on.ts";
import { lookup } from "../trees/weights.ts";

/** Additive, reparametrised, selective: the survey's letters (arXiv 2303.15647, section 4). */
export type MethodKind = "A" | "R" | "S";

/** Extra computation in a pass, for changes that cannot be merged into weights. */
export type Overhead = "bottleneck" | "input" | "linear" | "second pass" | "side network";

/** The costs of one method on one model. */
export interface MethodCosts {
  /** Additive, reparametrised, selective: the kinds of its edits. */
  readonly kinds: readonly MethodKind[];
  /** Counts while training. */
  readonly trained: Counts;
  /** Counts of what remains after training. */
  readonly kept: Counts;
  /** Bytes of its folder on disk. */
  readonly storage: number;
  /** Bytes of AdamW's two moments. */
  readonly optimizer: number;
  /** Linear layers of the base's blocks that a gradient passes through, and how many there are. */
  readonly backward: { readonly reached: number; readonly layers: number };
  /** Whether it can be merged into the weights. */
  readonly merges: boolean;
  /** Extra computation that remains in a pass; none when it merges. */
  readonly overhead: readonly Overhead[];
  /** Multiply-adds per token: of the base, and extra with the unmerged method. */
  readonly multiplyAdds: { readonly base: number; readonly extra: number };
}

/** Options of `methodCosts`. */
export interface MethodCostOptions {
  /** Length of the text, default 64. */
  readonly tokens?: number;
  /**
   * The method that remains after training, where that is a different one (DiffPruning's kept differences).
   */
  readonly kept?: MethodOn;
}

/** A method, or a function that makes it from parts that belong to the model: trained adapters, masks. */
export type MethodOn = Method | ((model: Model) => Method);

const placed = (method: MethodOn, model: Model): Method =>
  typeof method === "function" ? method(model) : method;

/**
 * The costs of a method on a model of any backend; only shapes are used. A function that makes the method
 * gets a model whose tensors have no data.
 *
 * @throws {RangeError} when the method cannot be placed on the model.
 * @example
 * ```ts
 * import { freshModel, houlsby, lora, methodCosts, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { trained, merges, multiplyAdds } = methodCosts(model, lora({ rank: 2 }));
 * assert.equal(trained.trainable, 2 * 2 * 2 * (16 + 16)); // layers, q and v, rank, sizes
 * assert.ok(merges);
 * assert.equal(multiplyAdds.extra, trained.trainable); // a token, as long as it is not merged
 * assert.equal(methodCosts(model, houlsby({ reduction: 4 })).merges, false);
 * ```
 */
export function methodCosts(source: Model, method: MethodOn, options: MethodCostOptions = {}): MethodCosts {
  const counter = countingShapes();
  const model = shapesOn(source, counter.backend);
  try {
    return scope((): Synchronous<MethodCosts> => factsOf(model, placed(method, model), counter, options));
  } finally {
    model.dispose();
  }
}

function factsOf(
  model: Model,
  method: Method,
  counter: CountingBackend,
  { tokens = 64, ...options }: MethodCostOptions,
): MethodCosts {
  const trained = adapt(model, method);
  const kept: Adapter = options.kept !== undefined
    ? adapt(model, placed(options.kept, model))
    : method.finalize?.(trained.params, model.spec) ?? trained;
  const batch = batchOf(model, tokens);
  const costOf = (m: Model): number => {
    const before = counter.multiplyAdds();
    scope((): number => (forward(m, batch), 0));
    return (counter.multiplyAdds() - before) / tokens;
  };
  const base = costOf(model);
  const edits = kept.method.edits(kept.params, model.spec);
  const merges = canMerge(model, kept);
  return {
    kinds: kindsOf(model, method.edits(trained.params, model.spec)),
    trained: count(model, trained),
    kept: count(model, kept),
    storage: leaves(kept.params).reduce((n, [, t]) => n + t.bytes, 0),
    optimizer: leaves(trainable(trained.params)).reduce((n, [, t]) => n + 2 * t.bytes, 0),
    backward: backwardOf(model, trained, batch),
    merges,
    overhead: merges ? [] : overheadOf(model, edits, counter),
    multiplyAdds: { base, extra: costOf(graft(model, kept)) - base },
  };
}

function batchOf({ spec }: Model, tokens: number): Batch {
  const ids = [Array.from({ length: tokens }, () => 0)];
  return { inputIds: ids, ...spec.stacks.length > 1 && { decoderInputIds: ids } };
}

function canMerge(model: Model, adapter: Adapter): boolean {
  try {
    merge(model, adapter).dispose();
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** Which linear layers of the base see an input with a gradient: there the backward pass multiplies by the base's weight. */
function backwardOf(model: Model, adapter: Adapter, batch: Batch): MethodCosts["backward"] {
  const layers = model.spec.linears.filter((place) => place.layer !== undefined);
  const reached = new Set<string>();
  const watchers = layers.map(({ path }): LinearEdit => ({
    kind: "linear",
    path,
    change: {
      form: "delta",
      reads: "input",
      delta: fn({}, (_, { x, y }) => {
        if (isTracked(x)) reached.add(path);
        return zeros(y.shape, y.backend);
      }),
      weight: fn({}, (_, { weight }) => weight),
    },
  }));
  const watched = { ...model, weights: withEdits(model.weights, watchers, "methodCosts") };
  valueAndGrad((params: Tree) => sum(forward(graft(watched, { ...adapter, params }), batch).logits))(
    adapter.params,
  );
  return { reached: reached.size, layers: layers.length };
}

/** Additive, reparametrised or selective, by what the edits do to the base's weights. */
function kindsOf(model: Model, edits: readonly Edit[]): readonly MethodKind[] {
  const uses = new Map<Storage, number>();
  for (const edit of edits) {
    if (edit.kind !== "weight") continue;
    for (const t of tensorsIn(edit.map.params)) uses.set(t.storage, (uses.get(t.storage) ?? 0) + 1);
  }
  return [...new Set(edits.map((edit) => kindOf(model, edit, uses)))].sort();
}

function kindOf({ spec, weights }: Model, edit: Edit, uses: ReadonlyMap<Storage, number>): MethodKind {
  switch (edit.kind) {
    case "linear":
      switch (edit.change.form) {
        case "scale":
          return "A";
        case "bias":
          return [...spec.linears, ...spec.heads].some((p) => p.path === edit.path && p.bias) ? "S" : "A";
        default: // a few rows as they are, or a structured update
          return edit.changes === undefined ? "R" : "S";
      }
    case "weight": {
      const leaf = lookup(weights, edit.path);
      if (!(leaf instanceof Tensor)) return "A";
      // Selected weights have one parameter each; an edit that changes more weights than it has parameters is
      // a reparametrisation.
      const own = tensorsIn(edit.map.params).filter((t) => uses.get(t.storage) === 1);
      const numbers = own.reduce((n, t) => n + t.size, 0);
      return numbers >= (edit.changes ?? leaf.size) ? "S" : "R";
    }
    default:
      return "A";
  }
}

function overheadOf(model: Model, edits: readonly Edit[], counter: CountingBackend): readonly Overhead[] {
  return [...new Set(edits.flatMap((edit) => overhead(model, edit, counter)))].sort();
}

function overhead(model: Model, edit: Edit, counter: CountingBackend): readonly Overhead[] {
  switch (edit.kind) {
    case "weight":
      return [];
    case "linear":
      return edit.change.form === "delta" && edit.change.weight === undefined ? ["linear"] : [];
    case "hidden":
      return [isLinear(model, edit, counter) ? "linear" : "bottleneck"];
    case "prefix":
    case "prompt":
      return ["input"];
    case "side":
      return ["side network"];
    case "prepass":
      return ["second pass"];
    default:
      return edit satisfies never;
  }
}

/** Whether a change of a hidden state uses no elementwise nonlinearity. */
function isLinear({ spec, backend }: Model, edit: HiddenEdit, counter: CountingBackend): boolean {
  const place = [...spec.sublayers, ...spec.blocks].find(({ path }) => path === edit.path);
  if (place === undefined) return false;
  const x = zeros([1, 1, place.width], backend);
  const before = counter.functions();
  try {
    edit.delta.run({
      x,
      y: x,
      skip: x,
      norm: (t) => t,
      train: false,
      phase: "prompt",
      ids: integers([0], backend, [1, 1]),
      mask: undefined,
      signal: () => x,
    });
  } catch (error) {
    if (error instanceof Error) return false; // it needs to know more about the pass
    throw error;
  }
  return counter.functions() === before;
}

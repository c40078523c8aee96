/**
 * Reverse-mode differentiation. The graph is reachable from the handles (`Tensor.node`); a backward pass
 * traverses it from the newest node to the oldest. Only handles created by `valueAndGrad`, and results
 * computed from them, are tracked, so gradients of frozen weights are neither computed nor stored.
 */
import {
  type KernelCall,
  ownedHere,
  recordingScope,
  replayScope,
  scope,
  sweep,
  type Synchronous,
} from "./scope.ts";
import type { Backend } from "./backend.ts";
import { allocate } from "./create.ts";
import { showShape, size } from "./shape.ts";
import { nextAge, type Storage } from "./storage.ts";
import { detach, type GraphNode, Tensor } from "./tensor.ts";
import { FROZEN, GRADIENTS, mapTree, nest, type Tree } from "./tree.ts";
import { rangeError } from "../errors/error.ts";

/** A tracked leaf that shares x's storage. */
function track(x: Tensor): Tensor {
  return new Tensor(x.storage, x.shape, x.dtype, { id: nextAge(), name: "leaf", parents: [], saved: [] });
}

/**
 * Whether gradients flow to this handle.
 *
 * @example
 * ```ts
 * import { isTracked, reference, Tensor, tensor, valueAndGrad } from "@graft/peft";
 * import { sum } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2], { backend: reference() });
 * assert.equal(isTracked(x), false);
 * valueAndGrad(({ x }: { x: Tensor }) => {
 *   assert.equal(isTracked(x), true);
 *   return sum(x);
 * })({ x });
 * ```
 */
export function isTracked(x: Tensor): boolean {
  return x.node !== undefined;
}

/** A loss and its gradients; `gradients` has the shape of the trained part of the parameters. */
export interface ValueAndGradients {
  /** The function's result, a scalar. */
  readonly value: Tensor;
  /** Shaped like the tracked parameters. */
  readonly gradients: Tree;
  /** What the function measured besides. */
  readonly metrics?: Readonly<Record<string, Tensor>>;
}

/** A loss and numbers that are told beside it, which have no gradients. */
export interface Measured {
  /** A scalar. */
  readonly loss: Tensor;
  /** By name. */
  readonly metrics: Readonly<Record<string, Tensor>>;
}

/**
 * Turns a function from parameters to a scalar into one that also returns the gradient of each parameter that
 * is not under `frozen`. Parameters must be f32. Intermediate tensors are freed as soon as they are no longer
 * needed.
 *
 * The function may also measure other numbers, which are returned as they are.
 *
 * @param scale The gradients are those of the result times this, so that small ones do not vanish in f16.
 * @throws {RangeError} when the result is not a scalar.
 * @example
 * ```ts
 * import { read, reference, type Tensor, tensor, valueAndGrad } from "@graft/peft";
 * import { multiply, sum } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([1, 2, 3], { backend: reference() });
 * const { value, gradients } = valueAndGrad(({ x }: { x: Tensor }) => sum(multiply(x, x)))({ x });
 * assert.deepEqual([...await read(value)], [14]);
 * assert.deepEqual([...await read(gradients["x"] as Tensor)], [2, 4, 6]);
 * ```
 */
export function valueAndGrad<P extends Tree>(
  f: (params: P) => Tensor | Measured,
  scale: number = 1,
): (params: P) => ValueAndGradients {
  return (params) =>
    scope((): Synchronous<ValueAndGradients> => {
      const wanted: Tensor[] = [];
      const paths: string[] = [];
      const tracked = mapTree(params, (leaf, path) => {
        if (path.split(".").includes(FROZEN) || leaf.dtype !== "f32") return leaf;
        const handle = track(leaf);
        wanted.push(handle);
        paths.push(path);
        return handle;
      });
      const found = f(tracked);
      const { loss, metrics } = found instanceof Tensor ? { loss: found, metrics: undefined } : found;
      if (size(loss.shape) !== 1) {
        throw rangeError(
          "INVALID_TENSOR",
          `Expected a loss of one number but found ${showShape(loss.shape)}`,
        );
      }
      const measured = metrics && mapTree(metrics, detach) as Readonly<Record<string, Tensor>>;
      sweep({ loss, measured });
      const kept = new Set(Object.values(measured ?? {}).map(({ storage }) => storage));
      const gradients = backward(loss, filled(loss.backend, loss.shape, scale), wanted, kept);
      return {
        value: detach(loss),
        gradients: Object.defineProperty(
          nest(paths.map((path, i) => [path, gradients[i]!] as const)),
          GRADIENTS,
          { value: true },
        ) as Tree,
        ...measured && { metrics: measured },
      };
    });
}

function filled(backend: Backend, shape: readonly number[], value: number): Tensor {
  const result = allocate(backend, shape);
  backend.fill(value, result);
  return result;
}

/**
 * Gradients of the `wanted` handles given the gradient `seed` of `output`; zeros for handles on which it does
 * not depend. Frees the tensors that the innermost scope owns as soon as no later step reads them, but for those
 * that are kept.
 */
function backward(
  output: Tensor,
  seed: Tensor,
  wanted: readonly Tensor[],
  kept: ReadonlySet<Storage> = new Set(),
): readonly Tensor[] {
  const stop = new Set(wanted.map((t) => t.node!));
  const order = youngestFirst(output, stop);
  const readers = countReaders(order);
  const holders = new Map<Storage, number>([[seed.storage, 1]]);
  const pending = new Map<GraphNode, Tensor>();
  if (output.node !== undefined) pending.set(output.node, seed);

  const freeable = (storage: Storage): boolean =>
    ownedHere(storage) && storage !== output.storage && !kept.has(storage);
  const lose = (counts: Map<Storage, number>, t: Tensor): void => {
    const left = counts.get(t.storage)! - 1;
    counts.set(t.storage, left);
    const other = counts === readers ? holders : readers;
    if (left === 0 && freeable(t.storage) && !other.get(t.storage)) t.storage.free();
  };
  const receive = (node: GraphNode, piece: Tensor): void => {
    holders.set(piece.storage, (holders.get(piece.storage) ?? 0) + 1);
    const earlier = pending.get(node);
    if (earlier === undefined) return void pending.set(node, piece);
    const sum = allocate(piece.backend, piece.shape);
    piece.backend.binary("add", earlier, piece, sum);
    holders.set(sum.storage, 1);
    pending.set(node, sum);
    lose(holders, earlier);
    lose(holders, piece);
  };

  for (const node of order) {
    const gradient = pending.get(node);
    if (stop.has(node)) continue;
    if (gradient !== undefined) {
      pending.delete(node);
      const last = new Set(
        node.saved.map((t) => t.storage).filter((storage) =>
          readers.get(storage) === 1 && freeable(storage) && !holders.get(storage)
        ),
      );
      const spent = (t: Tensor): boolean => last.has(t.storage);
      const pieces = scope((): readonly (Tensor | undefined)[] => node.pull!(gradient, spent));
      pieces.forEach((piece, i) => {
        const parent = node.parents[i]?.node;
        if (piece !== undefined && parent !== undefined) receive(parent, piece);
      });
      lose(holders, gradient);
    }
    for (const t of node.saved) lose(readers, t);
  }
  return wanted.map((t) => pending.get(t.node!) ?? filled(t.backend, t.shape, 0));
}

/** Nodes between the output and the `stop` nodes, newest first, which is a topological order. */
function youngestFirst(output: Tensor, stop: ReadonlySet<GraphNode>): readonly GraphNode[] {
  const found = new Set<GraphNode>();
  const stack = output.node === undefined ? [] : [output.node];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (found.has(node)) continue;
    found.add(node);
    if (stop.has(node)) continue;
    for (const parent of node.parents) if (parent?.node !== undefined) stack.push(parent.node);
  }
  return [...found].sort((a, b) => b.id - a.id);
}

function countReaders(order: readonly GraphNode[]): Map<Storage, number> {
  const counts = new Map<Storage, number>();
  for (const node of order) {
    for (const t of node.saved) counts.set(t.storage, (counts.get(t.storage) ?? 0) + 1);
  }
  return counts;
}

/**
 * Runs `f` without saving what its derivative needs, and recomputes it in the backward pass: less memory for
 * more time (arXiv 1604.06174). `f` must be a pure function of tensors older than the call; every tracked one
 * counts as an input. Kernels whose results no derivative needs, such as a block's last product, are not
 * rerun.
 *
 * @example
 * ```ts
 * import { checkpoint, read, reference, type Tensor, tensor, valueAndGrad } from "@graft/peft";
 * import { exp, sum } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([0, 0], { backend: reference() });
 * const { gradients } = valueAndGrad(({ x }: { x: Tensor }) => sum(checkpoint(() => exp(exp(x)))))({ x });
 * assert.ok(Math.abs((await read(gradients["x"] as Tensor))[0]! - Math.E) < 1e-6);
 * ```
 */
export function checkpoint(f: () => Tensor): Tensor {
  const born = nextAge();
  const outside: Tensor[] = [];
  const needed = new Set<Storage>();
  const { result, reads, calls } = recordingScope(() => {
    const output = f();
    for (const t of computedFrom(output, born)) {
      if (t.node!.id < born) outside.push(t);
      else for (const saved of t.node!.saved) needed.add(saved.storage);
    }
    return detach(output);
  });
  if (outside.length === 0) return result;
  const replay = { calls: calls.length, without: needless(calls, needed) };
  return new Tensor(result.storage, result.shape, result.dtype, {
    id: nextAge(),
    name: "checkpoint",
    parents: outside,
    saved: reads,
    pull: (gradient) => {
      const again = replayScope(f, replay);
      return backward(again, gradient, outside);
    },
  });
}

/**
 * The tracked handles from which the output was computed: those newer than `born`, and the first older ones
 * among their inputs.
 */
function computedFrom(output: Tensor, born: number): readonly Tensor[] {
  const found = new Map<GraphNode, Tensor>();
  const stack = [output];
  for (let t = stack.pop(); t !== undefined; t = stack.pop()) {
    if (t.node === undefined || found.has(t.node)) continue;
    found.set(t.node, t);
    if (t.node.id < born) continue;
    for (const parent of t.node.parents) if (parent !== undefined) stack.push(parent);
  }
  return [...found.values()];
}

/**
 * Indices of the calls on which no needed storage depends. `needed` grows by the inputs of the other calls.
 */
function needless(calls: readonly KernelCall[], needed: Set<Storage>): ReadonlySet<number> {
  const found = new Set<number>();
  for (let i = calls.length - 1; i >= 0; i--) {
    const { inputs, outputs } = calls[i]!;
    if (outputs.some((storage) => needed.has(storage))) { for (const storage of inputs) needed.add(storage); }
    else found.add(i);
  }
  return found;
}

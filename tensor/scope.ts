/**
 * Ownership. Every storage has one owner: a root, or the innermost scope at its creation. At its end a scope
 * frees everything that its result does not hold; what the result holds passes to the enclosing scope or,
 * outside any scope, has no owner: `keep` it or `dispose` it. This file and `storage.ts` hold the only
 * mutable state below the backends (roots, in root.ts, are values).
 */
import { type GraphNode, Tensor } from "./tensor.ts";
import { nextAge, type Owner, type Storage } from "./storage.ts";
import { failure, typeError } from "../errors/error.ts";

/** A kernel call: what it read and what it wrote. */
export interface KernelCall {
  /** Storages that it read. */
  readonly inputs: readonly Storage[];
  /** Storages that it wrote. */
  readonly outputs: readonly Storage[];
}

/** Which kernel calls of a function are skipped when it is rerun, by index from 0. */
export interface Replay {
  /** How many calls it makes. */
  readonly calls: number;
  /** Indices of the skipped calls. */
  readonly without: ReadonlySet<number>;
}

class Scope implements Owner {
  readonly storages: Set<Storage> = new Set();
  readonly born: number = nextAge();
  /** When recording: the handles read inside, by storage. */
  readonly reads: Map<Storage, Tensor> | undefined;
  /** When recording: the kernel calls inside. */
  readonly calls: KernelCall[] | undefined;
  /** When replaying: which calls are skipped, and how many there have been. */
  readonly replay: { readonly without: ReadonlySet<number>; next: number } | undefined;
  /**
   * Whether a kernel is running: kernels that it triggers, as for the bytes of a lazy tensor, do not count as
   * calls of the function.
   */
  busy = false;
  readonly parent: Scope | undefined;
  constructor(parent: Scope | undefined, { recording = false, replay }: ScopeOptions) {
    this.parent = parent;
    const outer = parent?.busy ? undefined : parent;
    this.reads = recording ? new Map() : parent?.reads;
    this.calls = recording ? [] : outer?.calls;
    this.replay = replay === undefined ? outer?.replay : { without: replay.without, next: 0 };
  }
}

interface ScopeOptions {
  readonly recording?: boolean;
  readonly replay?: Replay;
}

let innermost: Scope | undefined;

/** Anything but a promise: a scope must end before its caller continues. */
export type Synchronous<T> = T extends PromiseLike<unknown> ? never : T;

/**
 * Runs `f` and frees every tensor created inside that the result does not hold. The result may be any nesting
 * of records and arrays. Synchronous by its type: await between scopes, not inside.
 *
 * @throws {TypeError} when `f` returns a promise.
 * @example
 * ```ts
 * import { memory, reference, scope, tensor } from "@graft/peft";
 * import { add } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const sum = scope(() => add(tensor([1, 2], { backend }), tensor([3, 4], { backend })));
 * assert.equal(memory(backend).live, 8); // the sum alone
 * sum.storage.free();
 * ```
 */
export function scope<T>(f: () => Synchronous<T>): T {
  return enter(f, {}).result;
}

/** What a recording scope observed. */
export interface Recorded<T> {
  /** The function's result. */
  readonly result: T;
  /** Older tensors that were read inside. */
  readonly reads: readonly Tensor[];
  /** The kernel calls, in order. */
  readonly calls: readonly KernelCall[];
}

/** A scope that also reports what was read and called inside. For `checkpoint`. */
export function recordingScope<T>(f: () => T): Recorded<T> {
  return enter(f, { recording: true });
}

/**
 * A scope in which some kernel calls are skipped: their outputs are undefined. For `checkpoint`.
 *
 * @throws {Error} when `f` makes more or fewer calls than when recorded.
 */
export function replayScope<T>(f: () => T, replay: Replay): T {
  return enter(f, { replay }).result;
}

function enter<T>(f: () => T, options: ScopeOptions): Recorded<T> {
  const own = new Scope(innermost, options);
  innermost = own;
  let kept: ReadonlySet<Storage> = new Set();
  try {
    const result = f();
    if (result instanceof Promise) {
      throw typeError(
        "INVALID_ARGUMENT",
        "Expected a synchronous function in scope but it returned a promise: await between scopes",
      );
    }
    kept = reachable(result, own.born);
    if (options.replay !== undefined && own.replay!.next !== options.replay.calls) {
      throw failure(
        "INVALID_ARGUMENT",
        `Cannot run a checkpointed function again: it called ${options.replay.calls} kernels and now ` +
          `${own.replay!.next}; make it a pure function of older tensors`,
      );
    }
    if (options.recording !== true) return { result, reads: [], calls: [] };
    const reads = [...own.reads!.values()].filter((t) => t.storage.id < own.born);
    for (const t of reads) own.parent?.reads?.set(t.storage, t);
    for (const call of own.calls!) own.parent?.calls?.push(call);
    return { result, reads, calls: own.calls! };
  } finally {
    innermost = own.parent;
    for (const storage of own.storages) {
      if (kept.has(storage)) adopt(storage);
      else storage.free();
    }
  }
}

/** Gives a storage to the innermost scope; outside any scope it has no owner. */
export function adopt(storage: Storage): void {
  storage.owner = innermost;
  innermost?.storages.add(storage);
}

/** Runs a kernel that reads and writes these tensors, unless a replay skips it. */
export function runKernel(inputs: readonly Tensor[], outputs: readonly Tensor[], run: () => void): void {
  const own = innermost;
  if (own?.reads !== undefined) { for (const t of inputs) own.reads.set(t.storage, t); }
  if (own === undefined || own.busy) return run();
  own.calls?.push({ inputs: inputs.map((t) => t.storage), outputs: outputs.map((t) => t.storage) });
  if (own.replay?.without.has(own.replay.next++)) return;
  own.busy = true;
  try {
    run();
  } finally {
    own.busy = false;
  }
}

/** Whether the innermost scope owns the storage, so that code running in it may free it early. */
export function ownedHere(storage: Storage): boolean {
  return innermost !== undefined && storage.owner === innermost;
}

/** Frees every storage of the innermost scope that the value does not hold. */
export function sweep(value: unknown): void {
  if (innermost === undefined) return;
  const kept = reachable(value, innermost.born);
  for (const storage of innermost.storages) if (!kept.has(storage)) storage.free();
}

/**
 * All tensors in a nesting of records and arrays, in order of keys.
 *
 * @example
 * ```ts
 * import { reference, tensor, tensorsIn } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const [a, b] = [1, 2].map((n) => tensor([n], { backend: reference() }));
 * assert.deepEqual(tensorsIn({ first: a, others: [{ second: b }, "text"] }), [a, b]);
 * ```
 */
export function tensorsIn(value: unknown): readonly Tensor[] {
  const found: Tensor[] = [];
  const seen = new Set<unknown>();
  const visit = (v: unknown): void => {
    if (v instanceof Tensor) found.push(v);
    else if (typeof v === "object" && v !== null && isPlain(v) && !seen.has(v)) {
      seen.add(v);
      for (const k of Reflect.ownKeys(v)) visit((v as Record<PropertyKey, unknown>)[k]);
    }
  };
  visit(value);
  return found;
}

function isPlain(value: object): boolean {
  if (Array.isArray(value)) return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Storages that a value holds: its tensors' own, and what their graphs saved since `born`. */
function reachable(value: unknown, born: number): ReadonlySet<Storage> {
  const kept = new Set<Storage>();
  const seen = new Set<GraphNode>();
  const stack: GraphNode[] = [];
  for (const t of tensorsIn(value)) {
    kept.add(t.storage);
    if (t.node !== undefined) stack.push(t.node);
  }
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (node.id < born || seen.has(node)) continue;
    seen.add(node);
    for (const t of node.saved) kept.add(t.storage);
    for (const parent of node.parents) if (parent?.node !== undefined) stack.push(parent.node);
  }
  return kept;
}

/** Roots: owners of tensors that live across awaits, from step to step. */
import type { Owner, Storage } from "./storage.ts";
import { tensorsIn } from "./scope.ts";
import { failure } from "../errors/error.ts";

/**
 * Frees the tensors in a nested value that no root owns or borrows. For values made outside any scope.
 *
 * @example
 * ```ts
 * import { dispose, memory, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const pair = { x: tensor([1, 2], { backend }), y: tensor([3, 4], { backend }) };
 * dispose(pair);
 * assert.equal(memory(backend).live, 0);
 * ```
 */
export function dispose(value: unknown): void {
  for (const t of tensorsIn(value)) {
    if (t.storage.borrowers === 0 && !(t.storage.owner instanceof KeptRoot)) t.storage.free();
  }
}

/** A tree that lives across awaits. */
export interface Root<T> {
  /** The tree it holds. */
  readonly tree: T;
  /** Replaces the tree and frees what is no longer held. Returns this root. */
  replace(next: T): Root<T>;
  /** Frees what this root owns. @throws {Error} while another root borrows from it. */
  dispose(): void;
  /** Same as `dispose`. */
  [Symbol.dispose](): void;
}

/**
 * Creates a root that owns the tree's storages. Storages that another root owns are borrowed: their owner
 * cannot be disposed before this root is.
 *
 * @example
 * ```ts
 * import { keep, memory, reference, scope, tensor } from "@graft/peft";
 * import { multiply } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const state = keep({ x: tensor([2], { backend }) });
 * for (let i = 0; i < 3; i++) state.replace(scope(() => ({ x: multiply(state.tree.x, state.tree.x) })));
 * assert.equal(memory(backend).live, 4);
 * state.dispose();
 * ```
 */
export function keep<T>(tree: T): Root<T> {
  return new KeptRoot(tree);
}

/**
 * A root of what was made from tensors that the caller gave: as `keep`, but what of those nobody owns stays nobody's, where the
 * tree holds it too. So it frees nothing that was given.
 *
 * @example
 * ```ts
 * import { castTo, keepMade, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const given = [tensor([1, 2], { backend }), tensor([3], { backend, dtype: "i32" })];
 * const root = keepMade(given.map((t) => castTo(t, "f32")), given); // the first was f32 already: the same storage
 * root.dispose();
 * assert.deepEqual(given.map((t) => t.storage.freed), [false, false]);
 * assert.deepEqual([...await read(given[0]!)], [1, 2]);
 * ```
 */
export function keepMade<T>(tree: T, given: unknown): Root<T> {
  return new KeptRoot(tree, storagesOf(given));
}

class KeptRoot<T> implements Root<T>, Owner {
  readonly storages: Set<Storage> = new Set();
  private readonly borrowed: Set<Storage> = new Set();
  private readonly given: ReadonlySet<Storage>;
  tree: T;

  constructor(tree: T, given: ReadonlySet<Storage> = new Set()) {
    [this.tree, this.given] = [tree, given];
    this.hold(storagesOf(tree));
  }

  private hold(held: ReadonlySet<Storage>): void {
    for (const storage of held) {
      if (storage.owner === this || this.borrowed.has(storage)) continue;
      if (storage.owner instanceof KeptRoot) {
        storage.borrowers++;
        this.borrowed.add(storage);
      } else if (!this.given.has(storage)) {
        storage.owner?.storages.delete(storage);
        storage.owner = this;
        this.storages.add(storage);
      }
    }
  }

  private drop(storages: Iterable<Storage>): void {
    for (const storage of storages) {
      if (this.borrowed.delete(storage)) storage.borrowers--;
      else storage.free();
    }
  }

  replace(next: T): Root<T> {
    const held = storagesOf(next);
    const gone = [...this.storages, ...this.borrowed].filter((storage) => !held.has(storage));
    this.hold(held);
    this.drop(gone);
    this.tree = next;
    return this;
  }

  dispose(): void {
    const lent = [...this.storages].filter((storage) => storage.borrowers > 0);
    if (lent.length > 0) {
      throw failure(
        "FREED",
        `Cannot dispose a root while others still use ${lent.length} of its tensors: dispose them first`,
      );
    }
    this.drop([...this.storages, ...this.borrowed]);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function storagesOf(value: unknown): ReadonlySet<Storage> {
  return new Set(tensorsIn(value).map((t) => t.storage));
}

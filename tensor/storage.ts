/** Storages: runs of bytes on a backend, each with exactly one owner; and the count of live bytes. */
import type { Backend, MemoryUse, Raw } from "./backend.ts";
import { failure } from "../errors/error.ts";

/** Something that owns storages and frees them: a scope or a root. */
export interface Owner {
  /** The storages it frees at its end. */
  readonly storages: Set<Storage>;
}

/**
 * A run of bytes. Handles (`Tensor`) share storages; an owner frees them. `borrowers` counts the roots that hold the
 * storage without owning it: while there are any, disposing the owner throws.
 *
 * A lazy storage has no bytes until it is first read; then `make` computes them. When first read inside
 * `transiently`, they are released at its end and computed again at the next read.
 *
 * @example
 * ```ts
 * import { reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const x = tensor([1, 2, 3], { backend });
 * assert.equal(x.storage.bytes, 12);
 * x.storage.free();
 * assert.ok(x.storage.freed);
 * assert.throws(() => x.raw, /whose storage was freed/);
 * ```
 */
export class Storage {
  /** Where the bytes are. */
  readonly backend: Backend;
  /** Their number. */
  readonly bytes: number;
  private readonly make: (() => Storage) | undefined;
  /** Creation order: a storage created later has a larger number. */
  readonly id: number;
  /** The owner that frees it. */
  owner: Owner | undefined = undefined;
  /** Number of roots that borrow it. */
  borrowers = 0;
  private handle: Raw;
  private live = true;
  /** Whether it currently holds bytes. */
  private held = false;

  /** Allocates on a backend; with `make`, only when its bytes are first requested. */
  constructor(backend: Backend, bytes: number, make?: () => Storage) {
    [this.backend, this.bytes, this.make] = [backend, bytes, make];
    this.id = ++ledger.made;
    if (make === undefined) {
      this.hold(backend.allocate(bytes));
      count(backend, bytes);
    }
  }

  /** The backend's handle. @throws {Error} when the storage was freed. */
  get raw(): Raw {
    if (!this.live) {
      throw failure(
        "FREED",
        "Cannot use a tensor whose storage was freed: keep it or return it from its scope",
      );
    }
    if (!this.held) {
      this.hold(transiently(this.make!).release());
      ledger.read?.push(this);
    }
    return this.handle;
  }

  /** Takes ownership of a handle. */
  private hold(handle: Raw): void {
    this.handle = handle;
    this.held = true;
  }

  /** Passes the bytes on: they still count as live, but this storage is treated as freed. */
  private release(): Raw {
    const { raw } = this;
    this.live = false;
    this.owner?.storages.delete(this);
    this.owner = undefined;
    return raw;
  }

  /** Releases the bytes of a lazy storage; they can be computed again. */
  forget(): void {
    if (!this.live || !this.held || this.make === undefined) return;
    this.backend.release(this.handle, this.bytes);
    this.handle = undefined;
    this.held = false;
    count(this.backend, -this.bytes);
  }

  /** Whether the bytes were released. */
  get freed(): boolean {
    return !this.live;
  }

  /** Releases the bytes; a second call does nothing. */
  free(): void {
    if (!this.live) return;
    this.live = false;
    this.owner?.storages.delete(this);
    this.owner = undefined;
    if (!this.held) return;
    this.backend.release(this.handle, this.bytes);
    this.handle = undefined;
    count(this.backend, -this.bytes);
  }
}

/**
 * Runs `f`; lazy storages that it is the first to read release their bytes afterwards.
 *
 * @example
 * ```ts
 * import { lazy, memory, reference, tensor, transiently } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const x = lazy(backend, [2], "f32", () => tensor([1, 2], { backend }));
 * transiently(() => {
 *   x.raw; // makes the bytes
 *   assert.equal(memory(backend).live, 8);
 * });
 * assert.equal(memory(backend).live, 0); // and they can be made again
 * ```
 */
export function transiently<T>(f: () => T): T {
  const outer = ledger.read;
  const read: Storage[] = ledger.read = [];
  try {
    return f();
  } finally {
    ledger.read = outer;
    for (const storage of read) storage.forget();
  }
}

interface Use {
  live: number;
  peak: number;
}

interface Ledger {
  made: number;
  readonly uses: Map<Backend, Use>;
  /** Lazy storages that the innermost `transiently` has read first. */
  read?: Storage[] | undefined;
}

const ledger: Ledger = { made: 0, uses: new Map() };

function count(backend: Backend, bytes: number): void {
  const use = useOf(backend);
  use.live += bytes;
  use.peak = Math.max(use.peak, use.live);
}

function useOf(backend: Backend): Use {
  let use = ledger.uses.get(backend);
  if (use === undefined) ledger.uses.set(backend, use = { live: 0, peak: 0 });
  return use;
}

/** The creation number for the next storage or graph node. */
export function nextAge(): number {
  return ++ledger.made;
}

/**
 * Bytes held by tensors of one backend, or of all: `live` now, `peak` since the start (or since `resetPeak`), and
 * `pooled`, what backends keep for reuse.
 *
 * @example
 * ```ts
 * import { memory, reference, scope, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * scope(() => {
 *   tensor([1, 2, 3], { backend });
 *   assert.equal(memory(backend).live, 12);
 * });
 * assert.equal(memory(backend).live, 0);
 * ```
 */
export function memory(backend?: Backend): MemoryUse {
  const held = [...ledger.uses].filter(([b]) => backend === undefined || b === backend);
  return {
    live: held.reduce((sum, [, use]) => sum + use.live, 0),
    peak: held.reduce((sum, [, use]) => sum + use.peak, 0),
    pooled: held.reduce((sum, [b]) => sum + b.pooled(), 0),
  };
}

/**
 * Resets the peak to the bytes now live.
 *
 * @example
 * ```ts
 * import { dispose, memory, reference, resetPeak, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * dispose(tensor([1, 2, 3], { backend }));
 * assert.equal(memory(backend).peak, 12);
 * resetPeak();
 * assert.equal(memory(backend).peak, 0);
 * ```
 */
export function resetPeak(): void {
  for (const use of ledger.uses.values()) use.peak = use.live;
}

/**
 * Forgets a closed backend, so that it can be garbage-collected.
 *
 * @example
 * ```ts
 * import { dispose, forgetBackend, memory, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const x = tensor([1], { backend });
 * dispose(x);
 * forgetBackend(backend); // a backend's own `close` calls this
 * assert.deepEqual(memory(backend), { live: 0, peak: 0, pooled: 0 });
 * ```
 */
export function forgetBackend(backend: Backend): void {
  ledger.uses.delete(backend);
}

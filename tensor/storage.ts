/** Storages: runs of bytes on a backend, each with exactly one owner; and the ledger of how many bytes live. */
import type { Backend, MemoryUse, Raw } from "./backend.ts";

/** Something that owns storages and frees them: a scope or a root. */
export interface Owner {
  /** What it frees at its end. */
  readonly storages: Set<Storage>;
}

/**
 * A run of bytes. Handles (`Tensor`) share storages; an owner frees them. `borrowers` counts the roots that hold the
 * storage without owning it: while there are any, disposing the owner throws.
 *
 * A lazy storage has no bytes until it is first read; then `make` gives them. Inside `transiently` they are given back at
 * its end, and made again at the next reading.
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
  /** Age: a storage made later has a larger number. */
  readonly id: number;
  /** Who frees it. */
  owner: Owner | undefined = undefined;
  /** Derived roots that use it. */
  borrowers = 0;
  private handle: Raw;
  private live = true;
  /** Whether there are bytes. */
  private held = false;

  /** Allocates on a backend, or, where `make` is given, when its bytes are first asked for. */
  constructor(readonly backend: Backend, readonly bytes: number, private readonly make?: () => Storage) {
    this.id = ++ledger.made;
    if (make === undefined) {
      this.hold(backend.allocate(bytes));
      count(backend, bytes);
    }
  }

  /** The backend's handle. @throws {Error} when the storage was freed. */
  get raw(): Raw {
    if (!this.live) {
      throw new Error("Cannot use a tensor whose storage was freed: keep it or return it from its scope");
    }
    if (!this.held) {
      this.hold(transiently(this.make!).release());
      ledger.read?.push(this);
    }
    return this.handle;
  }

  /** Takes a handle of bytes as its own. */
  private hold(handle: Raw): void {
    this.handle = handle;
    this.held = true;
  }

  /** Hands the bytes on: they still count, and the storage is as freed. */
  private release(): Raw {
    const { raw } = this;
    this.live = false;
    this.owner?.storages.delete(this);
    this.owner = undefined;
    return raw;
  }

  /** Gives the bytes of a lazy storage back; they can be made again. */
  forget(): void {
    if (!this.live || !this.held || this.make === undefined) return;
    this.backend.release(this.handle, this.bytes);
    this.handle = undefined;
    this.held = false;
    count(this.backend, -this.bytes);
  }

  /** Whether the bytes were given back. */
  get freed(): boolean {
    return !this.live;
  }

  /** Gives the bytes back; a second call does nothing. */
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
 * Runs `f`; lazy storages that it is the first to read give their bytes back afterwards.
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

/** The age that the next storage or graph node will have. */
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
 * Starts the peak anew at what lives now.
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
 * Forgets a closed backend, so that it can be collected.
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

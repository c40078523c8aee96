/** Storages: runs of bytes on a backend, each with exactly one owner; and the ledger of how many bytes live. */
import type { Backend, MemoryUse, Raw } from "./backend.ts";

/** Something that owns storages and frees them: a scope or a root. */
export interface Owner {
  readonly storages: Set<Storage>;
}

/**
 * A run of bytes. Handles (`Tensor`) share storages; an owner frees them. `borrowers` counts the roots that hold the
 * storage without owning it: while there are any, disposing the owner throws.
 */
export class Storage {
  /** Age: a storage made later has a larger number. */
  readonly id: number;
  owner: Owner | undefined = undefined;
  borrowers = 0;
  private handle: Raw;
  private live = true;

  constructor(readonly backend: Backend, readonly bytes: number) {
    this.id = ++ledger.made;
    this.handle = backend.allocate(bytes);
    const use = useOf(backend);
    use.live += bytes;
    use.peak = Math.max(use.peak, use.live);
  }

  /** The backend's handle. @throws {Error} when the storage was freed. */
  get raw(): Raw {
    if (!this.live) {
      throw new Error("Cannot use a tensor whose storage was freed: keep it or return it from its scope");
    }
    return this.handle;
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
    this.backend.release(this.handle, this.bytes);
    this.handle = undefined;
    useOf(this.backend).live -= this.bytes;
  }
}

interface Use {
  live: number;
  peak: number;
}

const ledger: { made: number; readonly uses: Map<Backend, Use> } = { made: 0, uses: new Map() };

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

/** Starts the peak anew at what lives now. */
export function resetPeak(): void {
  for (const use of ledger.uses.values()) use.peak = use.live;
}

/** Forgets a closed backend, so that it can be collected. */
export function forgetBackend(backend: Backend): void {
  ledger.uses.delete(backend);
}

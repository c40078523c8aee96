/**
 * Adding and removing rows of a key-value cache. Shorter rows start with hidden positions, which are removed
 * as soon as the longest row has left.
 */
import { type Cache, type Tensor, tensor } from "../core/mod.ts";
import { concat, gatherRows, integers, slice, zeros } from "../ops/mod.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** A cache and how many of its last positions each row uses; those before are hidden. */
export interface CachedRows {
  readonly cache: Cache;
  readonly used: readonly number[];
}

/**
 * Whether rows of this cache can be combined with rows of others: not for a decoder that reads an encoder's
 * states.
 */
export function joinable(cache: Cache): boolean {
  return cache.memory === undefined;
}

/** The rows of one cache followed by those of another. */
export function joined(a: CachedRows, b: CachedRows): CachedRows {
  const used = [...a.used, ...b.used];
  const length = Math.max(a.cache.length, b.cache.length);
  return { cache: withMask(both(longer(a.cache, length), longer(b.cache, length)), used), used };
}

/** Some rows, without the positions that none of them uses. `rows` must not be empty. */
export function picked({ cache, used }: CachedRows, rows: readonly number[]): CachedRows {
  const left = rows.map((row) => used[row]!);
  const from = cache.length - Math.max(...left);
  const ids = integers(rows, anyOf(cache).backend);
  const own = (t: Tensor): Tensor => slice(gatherRows(t, ids), 1, from, t.shape[1]!);
  return { cache: withMask(mapped(cache, -from, own), left), used: left };
}

/** The same rows one position later. */
export function grown(cache: Cache, used: readonly number[]): CachedRows {
  return { cache, used: used.map((n) => n + 1) };
}

/** Applies a function that changes the length to every key and value, also in the nested cache. */
function mapped(cache: Cache, more: number, f: (t: Tensor) => Tensor): Cache {
  const entries = Object.entries(cache.entries).map(([path, { k, v }]) => [path, { k: f(k), v: f(v) }]);
  return {
    length: cache.length + more,
    entries: Object.fromEntries(entries),
    mask: cache.mask,
    ...cache.prepass && { prepass: mapped(cache.prepass, more, f) },
  };
}

/** Adds hidden positions in front, up to a length. */
function longer(cache: Cache, length: number): Cache {
  const more = length - cache.length;
  if (more === 0) return cache;
  return mapped(cache, more, (t) => {
    const [b, , ...rest] = t.shape as [number, number, ...number[]];
    return concat([zeros([b, more, ...rest], t.backend), t], 1);
  });
}

function both(a: Cache, b: Cache): Cache {
  const entries = Object.entries(a.entries).map(([path, { k, v }]) => {
    const other = b.entries[path];
    if (other === undefined) {
      throw rangeError("INVALID_BATCH", `Cannot join caches: one has no keys of "${path}"`);
    }
    return [path, { k: concat([k, other.k], 0), v: concat([v, other.v], 0) }];
  });
  return {
    ...a,
    entries: Object.fromEntries(entries),
    ...a.prepass && b.prepass && { prepass: both(a.prepass, b.prepass) },
  };
}

/** Sets the mask f32 [b, s], 1 on the positions that a row uses; no mask where all rows use all positions. */
function withMask(cache: Cache, used: readonly number[]): Cache {
  const { length, prepass } = cache;
  const rows = used.map((n) => Array.from({ length }, (_, i) => i < length - n ? 0 : 1));
  const mask = used.every((n) => n === length) ? undefined : tensor(rows, { backend: anyOf(cache).backend });
  if (prepass === undefined) return { ...cache, mask };
  const fewer = length - prepass.length; // the bare base reads no prompts
  return { ...cache, mask, prepass: withMask(prepass, used.map((n) => n - fewer)) };
}

function anyOf(cache: Cache): Tensor {
  const entry = Object.values(cache.entries)[0];
  if (entry === undefined) {
    throw typeError("INVALID_ARGUMENT", "Expected a cache of at least one attention but found none");
  }
  return entry.k;
}

/**
 * Splittable random keys: all randomness is a function of a key, never of hidden state. The generator is
 * Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): integer adds,
 * rotations and xors only, so every backend makes the same bits.
 */
export interface Key {
  /** First half of the counter's key, 32 bits. */
  readonly a: number;
  /** Second half. */
  readonly b: number;
}

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/**
 * Threefry-2x32-20: the block of two 32-bit words for the counter (x0, x1).
 *
 * @example
 * ```ts
 * import { threefry } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * // The known answer of Random123 for a counter and a key of zeros.
 * assert.deepEqual(threefry({ a: 0, b: 0 }, 0, 0).map((word) => word >>> 0), [0x6b200159, 0x99ba4efe]);
 * ```
 */
export function threefry(key: Key, x0: number, x1: number): readonly [number, number] {
  const schedule = [key.a, key.b, key.a ^ key.b ^ 0x1BD11BDA] as const;
  let a = (x0 + key.a) | 0;
  let b = (x1 + key.b) | 0;
  for (let group = 0; group < 5; group++) {
    for (let i = 0; i < 4; i++) {
      const bits = ROTATIONS[(group % 2) * 4 + i]!;
      a = (a + b) | 0;
      b = ((b << bits) | (b >>> (32 - bits))) ^ a;
    }
    a = (a + schedule[(group + 1) % 3]!) | 0;
    b = (b + schedule[(group + 2) % 3]! + group + 1) | 0;
  }
  return [a >>> 0, b >>> 0];
}

/**
 * A key from a seed: an integer from 0 to 2^53 - 1. A key passes through unchanged.
 *
 * @throws {RangeError} when the seed is not such an integer.
 * @example
 * ```ts
 * import { key } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.deepEqual(key(7), { a: 0, b: 7 });
 * assert.deepEqual(key(key(7)), key(7));
 * ```
 */
export function key(seed: number | Key): Key {
  if (typeof seed !== "number") return seed;
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`Expected the seed to be a non-negative integer but found ${seed}`);
  }
  return { a: Math.floor(seed / 2 ** 32) >>> 0, b: seed >>> 0 };
}

/**
 * A new key from a key and a name or number. Keys folded with different data are independent.
 *
 * @example
 * ```ts
 * import { fold, key } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.deepEqual(fold(key(0), "dropout"), fold(key(0), "dropout"));
 * assert.notDeepEqual(fold(key(0), "dropout"), fold(key(0), "init"));
 * ```
 */
export function fold(base: Key, data: number | string): Key {
  const [a, b] = typeof data === "number"
    ? threefry(base, data >>> 0, Math.floor(data / 2 ** 32) >>> 0)
    : threefry(base, fnv1a(data), 0x9E3779B9);
  return { a, b };
}

/**
 * n independent keys.
 *
 * @example
 * ```ts
 * import { fold, key, split } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const [first, second] = split(key(0), 2);
 * assert.deepEqual([first, second], [fold(key(0), 0), fold(key(0), 1)]);
 * ```
 */
export function split(base: Key, n: number): readonly Key[] {
  return Array.from({ length: n }, (_, i) => fold(base, i));
}

/**
 * The i-th 32-bit word of a key's stream, as every backend makes it: the block of counter ⌊i/2⌋, word i mod 2.
 *
 * @example
 * ```ts
 * import { bitsAt, key, threefry } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.equal(bitsAt(key(0), 0), threefry(key(0), 0, 0)[0]);
 * assert.equal(bitsAt(key(0), 3), threefry(key(0), 1, 0)[1]); // two words a block
 * ```
 */
export function bitsAt(base: Key, i: number): number {
  return threefry(base, (i >>> 1) >>> 0, 0)[i & 1]!;
}

/** FNV-1a over UTF-16 code units: a 32-bit hash of a name. */
function fnv1a(text: string): number {
  let hash = 0x811C9DC5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

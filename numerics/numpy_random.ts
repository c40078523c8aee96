/**
 * NumPy's random integers, for values that PEFT folders omit and regenerate with NumPy from a seed:
 * `default_rng` (O'Neill's PCG64 behind a SeedSequence, NumPy 1.17 and later) with its `integers`, `choice`
 * without replacement and `shuffle`. Everything else draws from keys.
 */

/** 32-bit words, one per call, as drawn by numpy.random.default_rng(seed). */
export function pcg64(seed: number): () => number {
  const [word, mask] = [64n, (1n << 128n) - 1n];
  const multiplier = (2549297995355413924n << word) | 4865540595714422341n;
  const [state, stream] = seedState(seed);
  const increment = ((stream << 1n) | 1n) & mask;
  const step = (s: bigint): bigint => (s * multiplier + increment) & mask;
  let at = step((step(0n) + state) & mask);
  let kept: number | undefined;
  return () => {
    if (kept !== undefined) {
      const half = kept;
      kept = undefined;
      return half;
    }
    at = step(at);
    const folded = BigInt.asUintN(64, (at >> word) ^ at);
    const turn = at >> 122n;
    const out = BigInt.asUintN(64, (folded >> turn) | (folded << ((64n - turn) & 63n)));
    kept = Number(out >> 32n);
    return Number(out & 0xFFFFFFFFn);
  };
}

/** The two 128-bit numbers that SeedSequence(seed) generates for PCG64. */
function seedState(seed: number): readonly [bigint, bigint] {
  const words: number[] = [];
  for (let rest = seed; rest > 0; rest = Math.floor(rest / 2 ** 32)) words.push(rest % 2 ** 32);
  const times = (a: number, b: number): number => Math.imul(a, b) >>> 0;
  const folded = (x: number): number => (x ^ (x >>> 16)) >>> 0;
  let hash = 0x43B0D7E5;
  const hashed = (x: number): number => {
    const mixed = (x ^ hash) >>> 0;
    hash = times(hash, 0x931E8875);
    return folded(times(mixed, hash));
  };
  const mix = (x: number, y: number): number => folded((times(0xCA01F9DD, x) - times(0x4973F715, y)) >>> 0);
  const pool = [0, 1, 2, 3].map((i) => hashed(words[i] ?? 0));
  for (const from of pool.keys()) {
    for (const to of pool.keys()) if (from !== to) pool[to] = mix(pool[to]!, hashed(pool[from]!));
  }
  for (const extra of words.slice(4)) {
    for (const to of pool.keys()) pool[to] = mix(pool[to]!, hashed(extra));
  }
  hash = 0x8B51F9DD;
  const out = Array.from({ length: 8 }, (_, i) => {
    const mixed = (pool[i % 4]! ^ hash) >>> 0;
    hash = times(hash, 0x58F38DED);
    return BigInt(folded(times(mixed, hash)));
  });
  const wide = (i: number): bigint =>
    (out[i + 1]! << 96n) | (out[i]! << 64n) | (out[i + 3]! << 32n) | out[i + 2]!;
  return [wide(0), wide(4)];
}

/** An integer in [0, n), n ≤ 2³² (Lemire 2019). */
export function numpyBelow(next: () => number, n: number): number {
  if (n === 1) return 0;
  if (n === 2 ** 32) return next();
  const least = (2 ** 32 - n) % n;
  for (;;) {
    const product = BigInt(next()) * BigInt(n);
    if (Number(product & 0xFFFFFFFFn) >= least) return Number(product >> 32n);
  }
}

/** An integer in [0, last], last < 2³², by rejection of larger values with the same number of bits. */
function upTo(next: () => number, last: number): number {
  const mask = 2 ** 32 / 2 ** Math.clz32(last) - 1;
  for (;;) {
    const value = (next() & mask) >>> 0;
    if (value <= last) return value;
  }
}

/** rng.shuffle(values), in place. */
export function numpyShuffle(next: () => number, values: Int32Array): void {
  swapped(values, 1, (i) => upTo(next, i));
}

/** Swaps each element, from the end down to `first`, with one chosen from itself and those before it. */
function swapped(values: Int32Array, first: number, choose: (i: number) => number): void {
  for (let i = values.length - 1; i >= first; i--) {
    const j = choose(i);
    const other = values[j]!;
    values[j] = values[i]!;
    values[i] = other;
  }
}

/** rng.choice(n, k, replace=False). */
export function numpyChoice(next: () => number, n: number, k: number): Int32Array {
  if (n > 10_000 && k > Math.floor(n / 50)) {
    const all = Int32Array.from({ length: n }, (_, i) => i);
    swapped(all, Math.max(n - k, 1), (i) => numpyBelow(next, i + 1));
    return all.slice(n - k);
  }
  const seen = new Set<number>(); // Floyd's algorithm
  const chosen = new Int32Array(k);
  for (let j = n - k; j < n; j++) {
    const drawn = numpyBelow(next, j + 1);
    const value = seen.has(drawn) ? j : drawn;
    seen.add(value);
    chosen[j - n + k] = value;
  }
  swapped(chosen, 1, (i) => numpyBelow(next, i + 1));
  return chosen;
}

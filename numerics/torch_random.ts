/**
 * PyTorch's random numbers on CPU, for what PEFT folders leave out and rebuild from a seed: the Mersenne Twister
 * (Matsumoto and Nishimura 1998) and, on it, torch's `uniform_` for f32 and `randperm`. Everything else draws from keys.
 */

/** The seed of a torch.Generator() that was given none. */
export const DEFAULT_SEED = 67280421310721;

/** Words of 32 bits, one a call, as torch.Generator().manual_seed(seed) gives them. */
export function mersenneTwister(seed: number): () => number {
  const n = 624;
  const state = new Uint32Array(n);
  state[0] = seed % 2 ** 32;
  for (let i = 1; i < n; i++) {
    const last = state[i - 1]!;
    state[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
  }
  let at = n;
  const refill = (): void => {
    for (let i = 0; i < n; i++) {
      const bits = (state[i]! & 0x80000000) | (state[(i + 1) % n]! & 0x7FFFFFFF);
      state[i] = state[(i + 397) % n]! ^ (bits >>> 1) ^ (bits & 1 ? 0x9908B0DF : 0);
    }
    at = 0;
  };
  return () => {
    if (at === n) refill();
    let word = state[at++]!;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9D2C5680;
    word ^= (word << 15) & 0xEFC60000;
    return (word ^ (word >>> 18)) >>> 0;
  };
}

/** torch.empty(n).uniform_(low, high, generator): 24 bits a number, in f32 arithmetic. */
export function torchUniform(next: () => number, n: number, low: number, high: number): Float32Array {
  const [from, to] = [Math.fround(low), Math.fround(high)];
  const width = Math.fround(to - from);
  return Float32Array.from({ length: n }, () => Math.fround((next() & 0xFFFFFF) / 2 ** 24 * width) + from);
}

/** torch.empty(n, dtype=torch.bfloat16).uniform_(low, high, generator): rounded, and low where that gives high. */
export function torchUniformBf16(next: () => number, n: number, low: number, high: number): Float32Array {
  const [from, to] = [roundToBf16(low), roundToBf16(high)];
  return torchUniform(next, n, low, high).map(roundToBf16).map((x) => x === to ? from : x);
}

/**
 * torch.empty(n).normal_(0, deviation, generator). From 16 numbers on it makes normals of uniform f32 in groups of 16, number i with
 * number i + 8, the last group again where it is short; below, of pairs of uniform f64 (Box and Muller 1958). With vector
 * instructions torch's logarithms and cosines differ from ours in the last bit.
 */
export function torchNormal(next: () => number, n: number, deviation: number): Float32Array {
  if (n < 16) {
    const unit = (): number => ((next() % 2 ** 21) * 2 ** 32 + next()) / 2 ** 53;
    const pairs = Array.from({ length: Math.ceil(n / 2) }, () => {
      const [angle, other] = [2 * Math.PI * unit(), unit()];
      const radius = Math.sqrt(-2 * Math.log1p(-other));
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    });
    return Float32Array.from(pairs.flat().slice(0, n), (x) => x * deviation);
  }
  const values = torchUniform(next, n, 0, 1);
  const group = (from: number): void => {
    for (let i = from; i < from + 8; i++) {
      const radius = Math.sqrt(-2 * Math.log(Math.fround(1 - values[i]!)));
      const angle = 2 * Math.PI * values[i + 8]!;
      values[i] = radius * Math.cos(angle) * deviation;
      values[i + 8] = radius * Math.sin(angle) * deviation;
    }
  };
  for (let from = 0; from + 16 <= n; from += 16) group(from);
  if (n % 16 !== 0) {
    values.set(torchUniform(next, 16, 0, 1), n - 16);
    group(n - 16);
  }
  return values;
}

/** The nearest number of 8 significant bits, of two the even one. */
export function roundToBf16(x: number): number {
  const bits = new Uint32Array(new Float32Array([x]).buffer);
  bits[0] = (bits[0]! + 0x7FFF + ((bits[0]! >>> 16) & 1)) & 0xFFFF0000;
  return new Float32Array(bits.buffer)[0]!;
}

/** torch.randperm(n, generator)[:k]: the first k of a shuffle. Of few numbers only those that move are kept. */
export function torchRandperm(next: () => number, n: number, k: number): readonly number[] {
  const moved = k > n / 64 ? Int32Array.from({ length: n }, (_, i) => i) : new Map<number, number>();
  const value = (i: number): number => moved instanceof Map ? moved.get(i) ?? i : moved[i]!;
  return Array.from({ length: k }, (_, i) => {
    const j = i + (i < n - 1 ? next() % (n - i) : 0);
    const chosen = value(j);
    if (moved instanceof Map) moved.set(j, value(i));
    else moved[j] = value(i);
    return chosen;
  });
}

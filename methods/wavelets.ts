/**
 * Wavelets' synthesis: what one coefficient adds to a signal. With a scaling filter h [L] (Daubechies 1992) and
 * g_t = (−1)^t h_(L−1−t), coefficient i of the coarse half adds h_t at 2i + t, one of the detail half g_t; both are cut by L − 2
 * at either end.
 */

/** Filters by name: Haar's, Daubechies' of two and three vanishing moments, the first coiflet. */
export type Wavelet = "db1" | "db2" | "db3" | "coif1";

/** The scaling filter h. */
export function scalingFilter(wavelet: Wavelet): readonly number[] {
  const by = (divisor: number, ...numbers: readonly number[]): readonly number[] =>
    numbers.map((n) => n / divisor);
  switch (wavelet) {
    case "db1":
      return by(Math.SQRT2, 1, 1);
    case "db2": {
      const t = Math.sqrt(3);
      return by(4 * Math.SQRT2, 1 + t, 3 + t, 3 - t, 1 - t);
    }
    case "db3": {
      const t = Math.sqrt(10);
      const u = Math.sqrt(5 + 2 * t);
      return by(
        16 * Math.SQRT2,
        ...[1 + t + u, 5 + t + 3 * u, 10 - 2 * t + 2 * u, 10 - 2 * t - 2 * u, 5 + t - 3 * u, 1 + t - u],
      );
    }
    case "coif1": {
      const t = Math.sqrt(7);
      return by(16 * Math.SQRT2, 1 - t, 5 + t, 14 + 2 * t, 14 - 2 * t, 1 - t, t - 3);
    }
  }
}

/** Of a signal of n numbers, where coefficient `at` of the n in the middle stands and which half it is of. */
export interface Coefficient {
  /** Its number i in its half. */
  readonly index: number;
  /** Coarse (h) or detail (g). */
  readonly half: "coarse" | "detail";
}

/** The coefficient number `at` of a signal of n, whose n + L − 2 coefficients, one more where that is odd, it is centred in. */
export function coefficientAt(at: number, n: number, length: number): Coefficient {
  const padded = Math.ceil((n + length - 2) / 2) * 2;
  const place = at + Math.floor((padded - n) / 2);
  return place < padded / 2
    ? { index: place, half: "coarse" }
    : { index: place - padded / 2, half: "detail" };
}

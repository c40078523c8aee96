/**
 * Wavelet synthesis: what one coefficient adds to a signal. With a scaling filter h [L] (Daubechies 1992) and
 * g_t = (−1)^t h_(L−1−t), coefficient i of the coarse half adds h_t at 2i + t, one of the detail half g_t;
 * both are trimmed by L − 2 at either end.
 */

/** Filters by name: Haar's, Daubechies' with two and three vanishing moments, the first coiflet. */
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

/** Where a coefficient adds a filter to a signal. */
export interface Coefficient {
  /**
   * The first index of the signal that it would change; negative where the filter extends beyond the start.
   */
  readonly first: number;
  /** Coarse (h) or detail (g). */
  readonly half: "coarse" | "detail";
}

/**
 * Coefficient number `at` of the n in the middle of the n + L − 2 (plus one where that is odd) that
 * synthesize a signal of length n. With L = 1 there is no wavelet and each coefficient is one element of the
 * signal.
 */
export function coefficientAt(at: number, n: number, length: number): Coefficient {
  if (length === 1) return { first: at, half: "coarse" };
  const padded = Math.ceil((n + length - 2) / 2) * 2;
  const place = at + Math.floor((padded - n) / 2);
  const half = place < padded / 2 ? "coarse" : "detail";
  return { first: 2 * (half === "coarse" ? place : place - padded / 2) - (length - 2), half };
}

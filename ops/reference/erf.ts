/**
 * The error function to f64 accuracy: Maclaurin terms times exp(−x²) near zero, all of one sign (Abramowitz and Stegun
 * 7.1.6), a continued fraction far away (7.1.14).
 */
import { exp } from "../../elementary/exponential.ts";

/** erf(x) = 2/√π ∫₀ˣ exp(−u²) du. */
export function erf(x: number): number {
  return Math.abs(x) < 2 ? series(x) : Math.sign(x) * (1 - fraction(Math.abs(x)));
}

/** 1 − erf(x), without cancellation for large x. */
export function erfc(x: number): number {
  if (x >= 2) return fraction(x);
  return x <= -2 ? 2 - fraction(-x) : 1 - series(x);
}

/** erf(x) = 2/√π exp(−x²) Σ 2ⁿ x²ⁿ⁺¹ / (1 · 3 ⋯ (2n + 1)). */
function series(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return 2 / Math.sqrt(Math.PI) * exp(-x * x) * sum;
}

/** erfc(x) = exp(−x²)/√π · 1/(x + ½/(x + 1/(x + 3/2/(x + …)))), from the inside out; 60 levels suffice from 2 on. */
function fraction(x: number): number {
  if (x > 27) return 0; // below the smallest f64
  let tail = x;
  for (let n = 60; n > 0; n--) tail = x + n / 2 / tail;
  return exp(-x * x) / Math.sqrt(Math.PI) / tail;
}

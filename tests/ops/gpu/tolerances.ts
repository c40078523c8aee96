/**
 * How near the GPU must come to the reference, and why. `floor` 1 measures against the largest element of an output, 0
 * against each element itself. f32 rounds at 2^-24 = 6e-8; software adapters round a multiply-add twice and flush
 * subnormal numbers to zero, and cards may divide within 2.5 units in the last place, so every bound leaves a factor.
 */
import type { UnaryOp } from "../../../tensor/backend.ts";
import type { Tolerance } from "../kernel_operands.ts";

/** Subnormal results may be flushed to zero. */
const FLUSHED = 1.2e-38;

/** Moves, comparisons, random bits, decoded codes: the same numbers. */
export const EXACT: Tolerance = { relative: 0 };

/** One rounded operation per element. */
export const ROUNDED: Tolerance = { relative: 3e-7, absolute: FLUSHED };

/** a^b by e^(b log a): the rounding of b log a, at most 40 in these tests, becomes relative. */
export const POWER: Tolerance = { relative: 1e-5, absolute: FLUSHED };

/** Sums of f32 products in another order: 2^-24 per term in the worst case, its root in practice. */
export const summed = (terms: number): Tolerance => ({
  relative: 1e-6,
  floor: 1,
  absolute: terms * 2 ** -24,
});

/**
 * Sums of products of f16 numbers of at most 1: both factors, their product and the sums of four round at 2^-11, which adds up
 * to 2^-9 per term in the worst case; errors of either sign leave its root, of which six are allowed.
 */
export const summedHalf = (terms: number): Tolerance => ({
  relative: 0,
  absolute: 6 * Math.sqrt(terms) * 2 ** -11,
});

/** Long sums of positive numbers: compensated, so no worse than short ones. */
export const LONG_SUM: Tolerance = { relative: 1e-6 };

/** Rows: a sum, a root or an exponential, and a product or two. */
export const ROW: Tolerance = { relative: 3e-6, floor: 1 };

/** e^(x − log Σ) with differences of up to 70, whose rounding, 70 · 2^-24, becomes relative. */
export const SOFTMAX: Tolerance = { relative: 8e-6, absolute: FLUSHED };

/** Attention: scores of up to 20 products, an exponential, a weighted sum. */
export const ATTENTION: Tolerance = { relative: 5e-6, floor: 1 };

/** Its derivative: g vᵀ − rowsum(g ⊙ out) cancels, and is summed over queries. */
export const ATTENTION_GRAD: Tolerance = { relative: 5e-6, floor: 1, absolute: 2e-5 };

/** Functions of one number. sin and cos are held to their range; the left tail of gelu to its largest values. */
export const UNARY: { readonly [op in UnaryOp]: Tolerance } = {
  negate: EXACT,
  exp: { relative: 5e-7, absolute: FLUSHED },
  log: { relative: 5e-7, absolute: 1e-7 },
  sqrt: ROUNDED,
  rsqrt: { relative: 5e-7 },
  reciprocal: ROUNDED,
  square: ROUNDED,
  abs: EXACT,
  sign: EXACT,
  sin: { relative: 3e-7, floor: 1 },
  cos: { relative: 3e-7, floor: 1 },
  tanh: { relative: 5e-7 },
  sigmoid: { relative: 5e-7, absolute: 1.3e-36 },
  silu: { relative: 7e-7, absolute: 1.3e-36 },
  relu: EXACT,
  gelu: { relative: 3e-6, floor: 1e-4 },
  geluTanh: { relative: 3e-6, floor: 1e-4 },
  erf: { relative: 5e-7 },
  floor: EXACT,
  round: EXACT,
};

/** Fifty steps of training: differences of 1e-6 in a step grow with the loss' curvature. */
export const TRAINING = 1e-3;

/**
 * The same with products in f16. AdamW divides a gradient by its own size, so one near zero whose sign the rounding turns
 * moves its number by up to twice the learning rate: in f32 on wasm, gradients given random errors of 2^-11 of their root
 * mean square lead to losses 4e-3 apart at a learning rate of 0.003, whatever the errors' size, and 0.02 at 0.01.
 */
export const TRAINING_HALF = 1e-2;

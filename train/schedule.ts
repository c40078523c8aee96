/**
 * Learning-rate schedules: the factor on the peak learning rate as a function of the step, from 0. With w warm-up steps,
 * T total steps and, after the warm-up, p = (t − w) / (T − w):
 *
 *     t < w                  t / w
 *     constant               1
 *     linear                 1 − p
 *     cosine                 m + (1 − m) · (1 + cos(2π c p)) / 2        c cycles, ½ is one descent; m the minimum factor
 *     polynomial             e + (1 − e) · (1 − p)^k                    e the last factor
 *     inverseSquareRoot      1 / √((t − w + s) / s)                     s the time scale
 *
 * Equal to transformers' `get_*_schedule` functions at every step, also after T: there linear is 0,
 * polynomial e, and the cosine continues to oscillate. (At step 0 of a warm-up the factor is 0, as there: the
 * first step changes nothing.)
 */
import { rangeError } from "../errors/error.ts";
import { cos } from "../elementary/trigonometry.ts";
import { pow } from "../elementary/power.ts";

/** The factor on the peak learning rate at a step. */
export type Schedule = (step: number) => number;

/** Warm-up steps: a number, or a ratio of the total, rounded up as transformers does. */
export type WarmUp = number | { readonly ratio: number; readonly of: number };

/** Options of all schedules. */
export interface WarmUpOptions {
  /** Steps over which the factor rises linearly from 0 to 1. Default: 0. */
  readonly warmUp?: WarmUp;
}

/** Options of schedules with an end. */
export interface DecayOptions extends WarmUpOptions {
  /** Total steps of the run, including the warm-up. */
  readonly totalSteps: number;
}

/**
 * 1 after the warm-up.
 *
 * @example
 * ```ts
 * import { constant } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.deepEqual([0, 1, 2, 3].map(constant({ warmUp: 2 })), [0, 0.5, 1, 1]);
 * ```
 */
export function constant(options: WarmUpOptions = {}): Schedule {
  return afterWarmUp(stepsOf(options.warmUp), () => 1);
}

/**
 * A straight line down to 0 at the end.
 *
 * @example
 * ```ts
 * import { linear } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const schedule = linear({ totalSteps: 100, warmUp: { ratio: 0.1, of: 100 } });
 * assert.deepEqual([0, 5, 10, 55, 100].map(schedule), [0, 0.5, 1, 0.5, 0]);
 * ```
 */
export function linear(options: DecayOptions): Schedule {
  const { warmUp, totalSteps, decaySteps } = span(options);
  return afterWarmUp(warmUp, (step) => Math.max(0, (totalSteps - step) / decaySteps));
}

/** Options of `cosine`. */
export interface CosineOptions extends DecayOptions {
  /** The minimum factor, from 0 to 1. Default: 0. */
  readonly minimum?: number;
  /** Number of cosine cycles in the run; ½ descends once. Default: 0.5. */
  readonly cycles?: number;
}

/**
 * A cosine down to the minimum (Loshchilov and Hutter 2016, arXiv 1608.03983).
 *
 * @example
 * ```ts
 * import { cosine } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const factors = [0, 50, 100].map(cosine({ totalSteps: 100, minimum: 0.1 }));
 * assert.deepEqual(factors.map((x) => x.toFixed(2)), ["1.00", "0.55", "0.10"]);
 * ```
 */
export function cosine(options: CosineOptions): Schedule {
  const { minimum = 0, cycles = 0.5 } = options;
  fraction("minimum", minimum);
  const { warmUp, decaySteps } = span(options);
  return afterWarmUp(warmUp, (step) => {
    const wave = (1 + cos(2 * Math.PI * cycles * (step - warmUp) / decaySteps)) / 2;
    return Math.max(0, wave * (1 - minimum) + minimum);
  });
}

/** Options of `polynomial`. */
export interface PolynomialOptions extends DecayOptions {
  /** The exponent, above 0. Default: 1. */
  readonly power?: number;
  /** The last factor, from 0 to 1 (transformers' lr_end over the peak). Default: 0. */
  readonly end?: number;
}

/**
 * A power of the remaining share of the run.
 *
 * @example
 * ```ts
 * import { polynomial } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.deepEqual([0, 50, 100].map(polynomial({ totalSteps: 100, power: 2 })), [1, 0.25, 0]);
 * ```
 */
export function polynomial(options: PolynomialOptions): Schedule {
  const { power = 1, end = 0 } = options;
  fraction("end", end);
  if (!(power > 0)) {
    throw rangeError("INVALID_ARGUMENT", `Expected power to be greater than 0 but found ${power}`);
  }
  const { warmUp, totalSteps, decaySteps } = span(options);
  return afterWarmUp(
    warmUp,
    (step) => (1 - end) * pow(Math.max(0, (totalSteps - step) / decaySteps), power) + end,
  );
}

/** Options of `inverseSquareRoot`. */
export interface InverseSquareRootOptions extends WarmUpOptions {
  /**
   * Steps after the warm-up until the factor falls to 1/√2. Default: the length of the warm-up, or 10,000
   * without one.
   */
  readonly timescale?: number;
}

/**
 * The schedule of the transformer paper (arXiv 1706.03762) scaled to reach 1; it has no end.
 *
 * @example
 * ```ts
 * import { inverseSquareRoot } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.deepEqual([0, 50, 100, 400].map(inverseSquareRoot({ warmUp: 100 })), [0, 0.5, 1, 0.5]);
 * ```
 */
export function inverseSquareRoot(options: InverseSquareRootOptions = {}): Schedule {
  const warmUp = stepsOf(options.warmUp);
  const timescale = options.timescale ?? (warmUp || 10_000);
  if (!(timescale > 0)) {
    throw rangeError("INVALID_ARGUMENT", `Expected timescale to be greater than 0 but found ${timescale}`);
  }
  return afterWarmUp(warmUp, (step) => 1 / Math.sqrt((step - warmUp + timescale) / timescale));
}

function afterWarmUp(warmUp: number, decay: Schedule): Schedule {
  return (step) => (step < warmUp ? step / warmUp : decay(step));
}

function stepsOf(warmUp: WarmUp = 0): number {
  if (typeof warmUp === "number") return whole("warmUp", warmUp);
  fraction("the warm-up ratio", warmUp.ratio);
  return Math.ceil(whole("the warm-up's total", warmUp.of) * warmUp.ratio);
}

interface Span {
  readonly warmUp: number;
  readonly totalSteps: number;
  /** Steps after the warm-up, at least 1 so that a run with only a warm-up does not divide by zero. */
  readonly decaySteps: number;
}

function span(options: DecayOptions): Span {
  const warmUp = stepsOf(options.warmUp);
  const totalSteps = whole("totalSteps", options.totalSteps);
  if (warmUp > totalSteps) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected warmUp to be at most totalSteps but found ${warmUp} and ${totalSteps}`,
    );
  }
  return { warmUp, totalSteps, decaySteps: Math.max(1, totalSteps - warmUp) };
}

function whole(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 0) {
    throw rangeError("INVALID_ARGUMENT", `Expected ${name} to be an integer from 0 but found ${value}`);
  }
  return value;
}

function fraction(name: string, value: number): void {
  if (!(value >= 0 && value <= 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected ${name} to be from 0 to 1 but found ${value}`);
  }
}

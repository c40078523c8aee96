/**
 * Dynamic loss scaling (Micikevicius et al. 2018, arXiv 1710.03740, section 3.2), for products in f16:
 * gradients are computed of the loss times a scale s, so that small ones are not rounded to zero, and divided
 * by s before they are used. A step whose gradients are not finite is skipped:
 *
 *   s ← s · backoff, n ← 0                after gradients that are not finite
 *   s ← s · growth,  n ← 0                after n = interval finite ones in a row
 *
 * as torch.amp.GradScaler does. Scaling by powers of two is exact for gradients that neither overflow nor
 * underflow.
 */
import {
  type Backend,
  dispose,
  mapTree,
  read,
  scope,
  type Synchronous,
  type Tensor,
  tensor,
  type Tree,
} from "../core/mod.ts";
import { multiply } from "../ops/mod.ts";
import { rangeError } from "../errors/error.ts";

/** How the scale is adapted. */
export interface LossScaleOptions {
  /** The first scale. Default 65,536. */
  readonly initial?: number;
  /** Factor after `interval` good steps. Default 2. */
  readonly growth?: number;
  /** Factor after a bad one. Default 0.5. */
  readonly backoff?: number;
  /** Good steps in a row before the scale grows. Default 2,000. */
  readonly interval?: number;
}

/** The state of loss scaling. */
export interface LossScale {
  /** Factor on the loss. */
  readonly scale: number;
  /** Good steps since the scale last changed. */
  readonly good: number;
  /** Steps skipped so far. */
  readonly skipped: number;
}

/**
 * The state before the first step.
 *
 * @throws {RangeError} when an option is invalid.
 * @example
 * ```ts
 * import { firstLossScale } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.deepEqual(firstLossScale(), { scale: 65536, good: 0, skipped: 0 });
 * assert.throws(() => firstLossScale({ backoff: 2 }), RangeError);
 * ```
 */
export function firstLossScale(
  { initial = 65536, growth = 2, backoff = 0.5, interval = 2000 }: LossScaleOptions = {},
): LossScale {
  const wrong = (name: string, rule: string, found: number): RangeError =>
    rangeError("INVALID_ARGUMENT", `Expected a loss scale's ${name} to be ${rule} but found ${found}`);
  if (!(initial > 0 && Number.isFinite(initial))) throw wrong("initial", "a finite number above 0", initial);
  if (!(growth >= 1 && Number.isFinite(growth))) throw wrong("growth", "at least 1", growth);
  if (!(backoff > 0 && backoff < 1)) throw wrong("backoff", "between 0 and 1", backoff);
  if (!(Number.isInteger(interval) && interval > 0)) {
    throw wrong("interval", "a whole number above 0", interval);
  }
  return { scale: initial, good: 0, skipped: 0 };
}

/**
 * The state after a step whose gradients were finite or not.
 *
 * @example
 * ```ts
 * import { firstLossScale, nextLossScale } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const start = firstLossScale({ initial: 1024, interval: 2 });
 * const after = [true, true, false].reduce((s, finite) => nextLossScale(s, finite, { interval: 2 }), start);
 * assert.deepEqual(after, { scale: 1024, good: 0, skipped: 1 }); // doubled after two, then halved
 * ```
 */
export function nextLossScale(
  { scale, good, skipped }: LossScale,
  finite: boolean,
  { growth = 2, backoff = 0.5, interval = 2000 }: LossScaleOptions = {},
): LossScale {
  if (!finite) return { scale: scale * backoff, good: 0, skipped: skipped + 1 };
  if (good + 1 < interval) return { scale, good: good + 1, skipped };
  // A scale that overflows f32 would make every gradient infinite.
  return { scale: Number.isFinite(Math.fround(scale * growth)) ? scale * growth : scale, good: 0, skipped };
}

/** Converts gradients of the scaled loss to those of the loss. Takes ownership of the given gradients. */
export function unscaled(gradients: Tree, { scale }: LossScale): Tree {
  const result = scope((): Synchronous<Tree> => mapTree(gradients, (g) => multiply(g, 1 / scale)));
  dispose(gradients);
  return result;
}

/** The state as a tensor, for snapshots. */
export function storedLossScale({ scale, good, skipped }: LossScale, backend: Backend): Tensor {
  return tensor([scale, good, skipped], { backend });
}

/** The state stored in a tensor, which is freed; the initial state where there is none. */
export async function loadedLossScale(
  stored: Tensor | undefined,
  options: LossScaleOptions,
): Promise<LossScale> {
  const first = firstLossScale(options);
  if (stored === undefined) return first;
  const [scale, good, skipped] = await read(stored);
  stored.storage.free();
  return { scale: scale!, good: good!, skipped: skipped! };
}

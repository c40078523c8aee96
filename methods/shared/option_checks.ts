/** Option checks shared by several methods. */
import { rangeError } from "../../errors/error.ts";

/** @throws {RangeError} when an option is not a positive integer. */
export function checkPositive(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw rangeError("INVALID_ARGUMENT", `Expected ${name} to be a positive integer but found ${value}`);
  }
}

/** Ranks and α of a method, also by pattern. */
export interface RankOptions {
  readonly rank?: number;
  readonly alpha?: number | undefined;
  readonly rankPattern?: Readonly<Record<string, number>> | undefined;
  readonly alphaPattern?: Readonly<Record<string, number>> | undefined;
}

/**
 * @throws {RangeError} when a rank is not a positive integer or an α is not a finite number; the message
 * names its pattern.
 */
export function checkRanks({ rank, alpha, rankPattern = {}, alphaPattern = {} }: RankOptions): void {
  if (rank !== undefined) checkPositive("rank", rank);
  for (const [pattern, value] of Object.entries(rankPattern)) {
    checkPositive(`rankPattern "${pattern}"`, value);
  }
  const alphas = Object.entries(alphaPattern).map(([pattern, value]) =>
    [`alphaPattern "${pattern}"`, value] as const
  );
  for (const [name, value] of [...alpha === undefined ? [] : [["alpha", alpha] as const], ...alphas]) {
    checkFinite(name, value);
  }
}

/** @throws {RangeError} when an option is not a finite number. */
export function checkFinite(name: string, value: number): void {
  if (!Number.isFinite(value)) {
    throw rangeError("INVALID_ARGUMENT", `Expected ${name} to be a finite number but found ${value}`);
  }
}

/** @throws {RangeError} when a seed is not an integer. */
export function checkSeed(name: string, value: number): void {
  if (!Number.isSafeInteger(value)) {
    throw rangeError("INVALID_ARGUMENT", `Expected ${name} to be an integer but found ${value}`);
  }
}

/** @throws {RangeError} when an option is not a number in [0, 1). */
export function checkProbability(name: string, value: number): void {
  if (!(value >= 0 && value < 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected ${name} from 0 up to 1 but found ${value}`);
  }
}

/** Reading numbers and flags of a `config.json`. */
import { type ModelConfig, MOST } from "../core/mod.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** A finite number. @throws {TypeError} when it is missing or not a number. */
export function number(config: ModelConfig, name: string): number {
  const value = config[name];
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw typeError(
      "MODEL_UNSUPPORTED",
      `Expected a number "${name}" in the config of ${config.model_type} but found ${JSON.stringify(value)}`,
    );
  }
  return value;
}

/** A number, or undefined where it is missing or null. */
export function optionalNumber(config: ModelConfig, name: string): number | undefined {
  return config[name] === undefined || config[name] === null ? undefined : number(config, name);
}

/** A count of rows, heads or features, at least 1. @throws {RangeError} when it is invalid. */
export function size(config: ModelConfig, name: string, most: number = 2 ** 31 - 1): number {
  const value = number(config, name);
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Expected "${name}" in the config of ${config.model_type} to be an integer from 1 to ${most} but found ${value}`,
    );
  }
  return value;
}

/** A size, or undefined where it is missing or null. */
export function optionalSize(config: ModelConfig, name: string): number | undefined {
  return config[name] === undefined || config[name] === null ? undefined : size(config, name);
}

/** How many blocks a stack has. */
export function blockCount(config: ModelConfig, name: string): number {
  return size(config, name, MOST.blocks);
}

/** `whole / parts`, both named in the config. @throws {RangeError} when it is not an integer. */
export function shareOf(config: ModelConfig, whole: string, parts: string): number {
  const [n, m] = [size(config, whole), size(config, parts)];
  if (n % m !== 0) {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Expected "${whole}" in the config of ${config.model_type} to be a multiple of "${parts}" but found ${n} and ${m}`,
    );
  }
  return n / m;
}

/** A boolean with a default. */
export function flag(config: ModelConfig, name: string, otherwise: boolean): boolean {
  const value = config[name] ?? otherwise;
  if (typeof value !== "boolean") {
    throw typeError(
      "MODEL_UNSUPPORTED",
      `Expected true or false for "${name}" in the config but found ${JSON.stringify(value)}`,
    );
  }
  return value;
}

/** Reading numbers and flags of a `config.json`. */
import type { ModelConfig } from "../core/mod.ts";

/** A finite number. @throws {TypeError} when it is missing or no number. */
export function number(config: ModelConfig, name: string): number {
  const value = config[name];
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw new TypeError(
      `Expected a number "${name}" in the config of ${config.model_type} but found ${JSON.stringify(value)}`,
    );
  }
  return value;
}

/** A number, or undefined where it is missing or null. */
export function optionalNumber(config: ModelConfig, name: string): number | undefined {
  return config[name] === undefined || config[name] === null ? undefined : number(config, name);
}

/** A boolean with a default. */
export function flag(config: ModelConfig, name: string, otherwise: boolean): boolean {
  const value = config[name] ?? otherwise;
  if (typeof value !== "boolean") {
    throw new TypeError(
      `Expected true or false for "${name}" in the config but found ${JSON.stringify(value)}`,
    );
  }
  return value;
}

/** Which architecture runs a config. */
import type { Architecture, ModelConfig, Spec } from "../core/mod.ts";
import { llama, llamaSpec } from "./llama.ts";

/** An architecture with the places that a config gives it. */
export interface KnownArchitecture {
  readonly architecture: Architecture;
  readonly spec: Spec;
}

/**
 * The architecture of a `config.json`.
 *
 * @throws {RangeError} when no architecture here runs its `model_type`.
 */
export function architectureOf(config: ModelConfig): KnownArchitecture {
  switch (config.model_type) {
    case "llama":
    case "mistral":
    case "qwen2":
      return { architecture: llama, spec: llamaSpec(config) };
    default:
      throw new RangeError(
        `Cannot run model_type "${config.model_type}": known are llama, mistral and qwen2`,
      );
  }
}

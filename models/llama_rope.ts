/** The scaling of rotary positions in a Llama-family config, and the resulting context length. */
import type { ModelConfig } from "../core/mod.ts";
import type { RopeScaling } from "../ops/mod.ts";
import { flag, number, optionalNumber, optionalSize } from "./config.ts";
import { rangeError } from "../errors/error.ts";
import { log } from "../elementary/exponential.ts";

/** @throws {RangeError} when the config specifies an unknown scaling. */
export function ropeScalingOf(config: ModelConfig): RopeScaling {
  const share = optionalNumber(config, "partial_rotary_factor") ?? 1;
  if (share !== 1) {
    throw rangeError(
      "MODEL_UNSUPPORTED",
      `Cannot run a ${config.model_type} with partial_rotary_factor ${share}: known is 1`,
    );
  }
  const given = config["rope_scaling"] as Readonly<Record<string, unknown>> | null | undefined;
  if (given === null || given === undefined) return { type: "none" };
  const options: ModelConfig = { model_type: "rope_scaling", ...given };
  const type = given["rope_type"] ?? given["type"];
  switch (type) {
    case "default":
      return { type: "none" };
    case "linear":
      return { type: "linear", factor: number(options, "factor") };
    case "dynamic":
      return { type: "dynamic", factor: number(options, "factor"), originalContext: positionsOf(config) };
    case "yarn":
      return yarnOf(options, positionsOf(config));
    case "llama3":
      return {
        type: "llama3",
        factor: number(options, "factor"),
        lowFrequencyFactor: number(options, "low_freq_factor"),
        highFrequencyFactor: number(options, "high_freq_factor"),
        originalContext: number(options, "original_max_position_embeddings"),
      };
    default:
      throw rangeError(
        "MODEL_UNSUPPORTED",
        `Cannot run rope_scaling type "${type}": known are default, linear, dynamic, yarn and llama3`,
      );
  }
}

/**
 * The longest text that a model reads: dynamic scaling grows with the text, up to the limit given by its
 * factor.
 */
export function contextOf(config: ModelConfig, scaling: RopeScaling): number {
  const positions = positionsOf(config);
  return scaling.type === "dynamic" ? Math.floor(scaling.factor * positions) : positions;
}

const positionsOf = (config: ModelConfig): number => optionalSize(config, "max_position_embeddings") ?? 2048;

/** With transformers' defaults for missing values, including 0 and null. */
function yarnOf(options: ModelConfig, positions: number): RopeScaling {
  const factor = number(options, "factor");
  const said = (name: string): number | undefined => optionalNumber(options, name) || undefined;
  const temper = (m: number): number => factor <= 1 ? 1 : 0.1 * m * log(factor) + 1;
  const [m, all] = [said("mscale"), said("mscale_all_dim")];
  return {
    type: "yarn",
    factor,
    originalContext: said("original_max_position_embeddings") ?? positions,
    fast: said("beta_fast") ?? 32,
    slow: said("beta_slow") ?? 1,
    wholeDimensions: flag(options, "truncate", true),
    amplitude: optionalNumber(options, "attention_factor") ??
      (m !== undefined && all !== undefined ? temper(m) / temper(all) : temper(1)),
  };
}

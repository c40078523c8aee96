/**
 * Converts rotary position scaling between the two formats. GGUF stores linear and YaRN scaling in metadata,
 * and Llama 3's as a tensor `rope_freqs.weight` of divisors, one per frequency, from which the config's
 * values are recovered.
 */
import type { GgufArchitecture } from "./gguf_names.ts";
import type { GgufValue } from "./gguf_metadata.ts";
import { isObject } from "./strict_json.ts";
import type { JsonObject } from "./tensor_file.ts";
import { rangeError, typeError } from "../errors/error.ts";
import { pow } from "../elementary/power.ts";

/** Llama 3's settings in all published models; only `factor` varies (8 in 3.1, 32 in 3.2). */
const LLAMA3 = {
  rope_type: "llama3",
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
};

/**
 * The `rope_scaling` of a config, null when there is none.
 *
 * @param factors The divisors in `rope_freqs.weight`, when present.
 * @throws {RangeError} when the kind of scaling is not supported.
 */
export function ropeScaling(
  architecture: GgufArchitecture,
  metadata: ReadonlyMap<string, unknown>,
  factors: Float32Array | undefined,
): JsonObject | null {
  if (factors !== undefined) return llama3FromFactors(architecture, metadata, factors);
  const at = (key: string): unknown => metadata.get(`${architecture}.rope.scaling.${key}`);
  const type = at("type");
  const factor = at("factor");
  if (type === undefined || type === "none") return null;
  if (type === "linear") return { rope_type: "linear", factor };
  if (type === "yarn") {
    return { rope_type: "yarn", factor, original_max_position_embeddings: at("original_context_length") };
  }
  throw rangeError("FILE_UNSUPPORTED", `Cannot read this GGUF file: rope scaling "${type}" is not supported`);
}

/**
 * The divisors of the rotary frequencies for a config's Llama 3 scaling, undefined for any other.
 *
 * @param dim Width of a head; there are dim / 2 divisors.
 */
export function llama3Factors(scaling: unknown, theta: number, dim: number): Float32Array | undefined {
  if (!isObject(scaling) || (scaling["rope_type"] ?? scaling["type"]) !== "llama3") return undefined;
  const [factor, low, high, old] = [
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
  ]
    .map((key) => {
      const value = scaling[key];
      if (typeof value !== "number") {
        throw typeError("FILE_INVALID", `Expected rope_scaling.${key} to be a number but found ${value}`);
      }
      return value;
    }) as [number, number, number, number];
  return Float32Array.from({ length: dim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * pow(theta, 2 * i / dim);
    if (wavelength < old / high) return 1;
    if (wavelength > old / low) return factor;
    const smooth = (old / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/**
 * Metadata of a config's `rope_scaling`, keys without the architecture; none for Llama 3, whose divisors are a tensor.
 *
 * @throws {TypeError} when GGUF has no such scaling.
 */
export function ropeFields(config: JsonObject): readonly (readonly [string, GgufValue])[] {
  const scaling = config["rope_scaling"];
  if (!isObject(scaling)) return [];
  const type = scaling["rope_type"] ?? scaling["type"];
  if (type === "llama3" || type === "default") return [];
  if (type !== "linear" && type !== "yarn") {
    throw typeError("CANNOT_SAVE", `Cannot write GGUF: rope_scaling "${type}" is not supported`);
  }
  const old = scaling["original_max_position_embeddings"];
  return [
    ["rope.scaling.type", { type: "string", value: type }],
    ["rope.scaling.factor", { type: "f32", value: Number(scaling["factor"]) }],
    ...(typeof old === "number"
      ? [["rope.scaling.original_context_length", { type: "u32", value: old }] as const]
      : []),
  ];
}

function llama3FromFactors(
  architecture: GgufArchitecture,
  metadata: ReadonlyMap<string, unknown>,
  factors: Float32Array,
): JsonObject {
  const scaling = { ...LLAMA3, factor: factors.reduce((a, b) => Math.max(a, b), 1) };
  const theta = Number(metadata.get(`${architecture}.rope.freq_base`) ?? 10000);
  const expected = llama3Factors(scaling, theta, 2 * factors.length)!;
  if (!factors.every((value, i) => Math.abs(value - expected[i]!) <= 1e-4 * expected[i]!)) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read this GGUF file: its rope_freqs.weight is not Llama 3's scaling`,
    );
  }
  return scaling;
}

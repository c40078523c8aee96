/**
 * The inverse: one of our quantized tensors as the group of tensors that bitsandbytes and transformers read.
 */
import { byteLength, CODE_BLOCK, layout, NESTED_BLOCK, size } from "../tensor/mod.ts";
import type { Shape } from "../tensor/mod.ts";
import { dynamicMap, FP4_MAP, NF4_MAP } from "./bitsandbytes_maps.ts";
import type { NumberType } from "./plain_numbers.ts";
import type { RawTensor } from "./safetensors.ts";
import type { JsonObject, StoredTensor } from "./tensor_file.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** The dtype in which the codes are stored: the same bytes with another shape. */
export type CodeStorage = "uint8" | "float16" | "bfloat16" | "float32";

/** Its name in safetensors, and the bytes per element. */
const STORAGES = {
  uint8: ["U8", 1],
  float16: ["F16", 2],
  bfloat16: ["BF16", 2],
  float32: ["F32", 4],
} as const satisfies Readonly<Record<CodeStorage, readonly [NumberType, number]>>;

/** The group's metadata. */
export interface BitsandbytesOptions {
  /**
   * The weight's original dtype, to which other programs dequantize it; it affects no stored bytes. Default
   * "float16".
   */
  readonly dtype?: "float16" | "bfloat16" | "float32";
  /** transformers' `bnb_4bit_quant_storage`. Default "uint8". */
  readonly storage?: CodeStorage;
}

/**
 * The tensors of a bitsandbytes group, to be written with `writeSafetensors`. The tensor is read immediately,
 * since a 4-bit group's description contains one of its values.
 *
 * @param tensor Of dtype nf4, fp4, nf4_double, fp4_double or int8; its name ends in `weight`.
 * @throws {TypeError} when its dtype has no bitsandbytes form.
 * @throws {RangeError} when the codes do not fill a whole number of storage elements, or an int8 tensor's
 * name does not end in `.weight`.
 * @example
 * ```ts
 * import { bytesOf, castTo, reference, tensor } from "@graft/peft";
 * import { bitsandbytesGroup } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const weight = castTo(tensor(Array.from({ length: 128 }, (_, i) => i), { backend: reference() }), "nf4");
 * const bytes = await bytesOf(weight);
 * const group = bitsandbytesGroup({
 *   name: "q.weight",
 *   dtype: weight.dtype,
 *   shape: [2, 64],
 *   byteLength: bytes.length,
 *   read: () => bytes,
 * });
 * assert.ok(group.some(({ name }) => name === "q.weight.absmax"));
 * ```
 */
export function bitsandbytesGroup(
  tensor: StoredTensor,
  options: BitsandbytesOptions = {},
): readonly RawTensor[] {
  const { dtype } = tensor;
  switch (dtype) {
    case "nf4":
    case "fp4":
    case "nf4_double":
    case "fp4_double":
      return fourBit(
        tensor,
        dtype.slice(0, 3) as "nf4" | "fp4",
        dtype.endsWith("double"),
        options,
      );
    case "int8":
      return eightBit(tensor);
    default:
      throw typeError("CANNOT_SAVE", `Cannot write "${tensor.name}" for bitsandbytes: it has no ${dtype}`);
  }
}

/**
 * The `quantization_config` for the `config.json` of a model with such weights.
 *
 * @param skip Names of linear modules that were left in full precision, besides `lm_head`.
 * @example
 * ```ts
 * import { bitsandbytesConfig } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const config = bitsandbytesConfig("nf4_double");
 * assert.deepEqual([config["load_in_4bit"], config["bnb_4bit_quant_type"]], [true, "nf4"]);
 * assert.equal(config["bnb_4bit_use_double_quant"], true);
 * ```
 */
export function bitsandbytesConfig(
  dtype: "nf4" | "fp4" | "nf4_double" | "fp4_double" | "int8",
  skip: readonly string[] = [],
): JsonObject {
  const four = dtype !== "int8";
  return {
    quant_method: "bitsandbytes",
    load_in_4bit: four,
    load_in_8bit: !four,
    ...(four
      ? {
        bnb_4bit_quant_type: dtype.slice(0, 3),
        bnb_4bit_use_double_quant: dtype.endsWith("double"),
        bnb_4bit_compute_dtype: "float32",
        bnb_4bit_quant_storage: "uint8",
      }
      : {}),
    // No llm_int8_threshold: transformers requires a float, our JSON would contain 6, and 6.0 is its default.
    // transformers quantizes whatever is not listed, so a nonempty list must include lm_head.
    llm_int8_skip_modules: skip.length > 0 ? ["lm_head", ...skip] : null,
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
  };
}

function fourBit(
  tensor: StoredTensor,
  code: "nf4" | "fp4",
  nested: boolean,
  { dtype = "float16", storage = "uint8" }: BitsandbytesOptions,
): readonly RawTensor[] {
  const { name, shape } = tensor;
  const bytes = checkedBytes(tensor);
  const at = layout(tensor.dtype, shape);
  const n = size(shape);
  const blocks = Math.ceil(n / CODE_BLOCK);
  const codes = Math.ceil(n / 2);
  const [type, width] = STORAGES[storage];
  if (codes % width !== 0) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot store the ${codes} bytes of codes of "${name}" as ${storage}: use "uint8"`,
    );
  }
  const state = { quant_type: code, blocksize: CODE_BLOCK, dtype, shape };
  const map = f32Bytes(code === "nf4" ? NF4_MAP : FP4_MAP);
  const group = [
    piece(name, type, [codes / width, 1], bytes.subarray(0, codes)),
    piece(`${name}.quant_map`, "F32", [16], map),
  ];
  const stateName = `${name}.quant_state.bitsandbytes__${code}`;
  if (!nested) {
    return [
      ...group,
      piece(`${name}.absmax`, "F32", [blocks], bytes.subarray(at.scales, at.scales + 4 * blocks)),
      json(stateName, state),
    ];
  }
  const outer = Math.ceil(blocks / NESTED_BLOCK);
  const offset = new DataView(bytes.buffer, bytes.byteOffset).getFloat32(at.offset, true);
  return [
    ...group,
    piece(`${name}.absmax`, "U8", [blocks], bytes.subarray(at.scales, at.scales + blocks)),
    piece(`${name}.nested_absmax`, "F32", [outer], bytes.subarray(at.nested, at.nested + 4 * outer)),
    piece(`${name}.nested_quant_map`, "F32", [256], f32Bytes(dynamicMap())),
    json(stateName, {
      ...state,
      nested_blocksize: NESTED_BLOCK,
      nested_dtype: "float32",
      nested_offset: offset,
    }),
  ];
}

function eightBit(tensor: StoredTensor): readonly RawTensor[] {
  const { name, shape } = tensor;
  if (!name.endsWith(".weight")) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot write "${name}" for bitsandbytes: the name of an int8 weight must end in ".weight"`,
    );
  }
  const bytes = checkedBytes(tensor);
  const { scales } = layout("int8", shape);
  const stem = name.slice(0, -"weight".length);
  return [
    piece(name, "I8", shape, bytes.subarray(0, size(shape))),
    piece(`${stem}SCB`, "F32", [(bytes.length - scales) / 4], bytes.subarray(scales)),
    piece(`${stem}weight_format`, "U8", [], new Uint8Array(1)),
  ];
}

function checkedBytes(tensor: StoredTensor): Uint8Array {
  const bytes = tensor.read();
  const expected = byteLength(tensor.dtype, tensor.shape);
  if (bytes.length !== expected) {
    throw rangeError(
      "CANNOT_SAVE",
      `Cannot write "${tensor.name}": expected ${expected} bytes but found ${bytes.length}`,
    );
  }
  return bytes;
}

function piece(name: string, type: NumberType, shape: Shape, bytes: Uint8Array): RawTensor {
  return { name, type, shape, byteLength: bytes.length, read: () => bytes };
}

function json(name: string, value: JsonObject): RawTensor {
  const bytes = new TextEncoder().encode(pythonJson(value));
  return piece(name, "U8", [bytes.length], bytes);
}

/**
 * JSON as written by Python: spaces after commas and colons, and exponents of at least two digits from 1e-5
 * down.
 */
function pythonJson(value: JsonObject[string]): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([name, field]) =>
      `${JSON.stringify(name)}: ${pythonJson(field)}`
    );
    return `{${entries.join(", ")}}`;
  }
  if (typeof value !== "number" || value === 0 || Math.abs(value) >= 1e-4) return JSON.stringify(value);
  return value.toExponential().replace(/-(\d)$/, "-0$1");
}

function f32Bytes(values: readonly number[]): Uint8Array {
  return new Uint8Array(new Float32Array(values).buffer);
}

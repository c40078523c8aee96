import { rangeError } from "../errors/error.ts";

/**
 * Dtypes: the byte layouts of a tensor's elements. A dtype names one byte layout, so a tensor of any dtype is
 * a shape and a single run of bytes; arithmetic is in f32 for every dtype (kernels convert while packing).
 *
 * | dtype | bytes, for n elements (rows = all axes but the last) |
 * |---|---|
 * | f32 f16 bf16 i32 u8 | the elements, little endian |
 * | int8 | n codes i8, padded to 4 bytes; then one f32 `absmax` per row. w = code · absmax / 127 (LLM.int8, arXiv 2208.07339) |
 * | nf4 fp4 int4 e2m1 e3m0 | ⌈n/2⌉ bytes, element 2k in the high nibble, padded to 4; then one f32 absmax per block of 64 (row-major, blocks cross rows). w = codebook[code] · absmax |
 * | nf4_double fp4_double | the codes as above; one u8 per block, padded to 4; one f32 per 256 of those; one f32 offset. absmax = dynamicMap[u8] · nested + offset (QLoRA, arXiv 2305.14314) |
 * | dynamic8 udynamic8 | n codes u8, padded to 4; one f32 absmax per block of 256. w = map[code] · absmax (8-bit optimizers, arXiv 2110.02861) |
 * | q4_0 … q6_k | GGUF blocks of 32 or 256 along the last axis, scales inside the block |
 */
export type DType =
  | "f32"
  | "f16"
  | "bf16"
  | "i32"
  | "u8"
  | "int8"
  | CodebookType
  | DoubleType
  | "dynamic8"
  | "udynamic8"
  | GgufType;

/** Four-bit types with a table of 16 values and one f32 scale per block of 64. */
export type CodebookType = "nf4" | "fp4" | "int4" | "e2m1" | "e3m0";

/** Four-bit types whose block scales are themselves quantized to 8 bits. */
export type DoubleType = "nf4_double" | "fp4_double";

/** Block types of GGUF files. */
export type GgufType = "q4_0" | "q4_1" | "q5_0" | "q5_1" | "q8_0" | "q4_k" | "q5_k" | "q6_k";

/** Elements that share a scale in `nf4`, `fp4` and their relatives. */
export const CODE_BLOCK = 64;

/** Block scales that share a second-level scale under double quantization. */
export const NESTED_BLOCK = 256;

/** Elements that share a scale in 8-bit optimizer state. */
export const DYNAMIC_BLOCK = 256;

/**
 * Elements and bytes of one block of a GGUF type.
 *
 * @example
 * ```ts
 * import { ggufBlock } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * const { elements, bytes } = ggufBlock("q4_0");
 * assert.equal(8 * bytes / elements, 4.5); // bits a weight
 * ```
 */
export function ggufBlock(dtype: GgufType): { readonly elements: number; readonly bytes: number } {
  switch (dtype) {
    case "q4_0":
      return { elements: 32, bytes: 18 };
    case "q4_1":
      return { elements: 32, bytes: 20 };
    case "q5_0":
      return { elements: 32, bytes: 22 };
    case "q5_1":
      return { elements: 32, bytes: 24 };
    case "q8_0":
      return { elements: 32, bytes: 34 };
    case "q4_k":
      return { elements: 256, bytes: 144 };
    case "q5_k":
      return { elements: 256, bytes: 176 };
    case "q6_k":
      return { elements: 256, bytes: 210 };
    default:
      return dtype satisfies never;
  }
}

/**
 * Whether the dtype is a GGUF block type.
 *
 * @example
 * ```ts
 * import { isGguf } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.ok(isGguf("q8_0") && !isGguf("nf4"));
 * ```
 */
export function isGguf(dtype: DType): dtype is GgufType {
  return dtype.startsWith("q");
}

/**
 * Whether the dtype is a quantized weight layout: anything but plain floats or integers.
 *
 * @example
 * ```ts
 * import { isQuantized } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.ok(isQuantized("nf4_double") && isQuantized("q4_k") && !isQuantized("bf16"));
 * ```
 */
export function isQuantized(dtype: DType): boolean {
  return !["f32", "f16", "bf16", "i32", "u8"].includes(dtype);
}

const padded = (bytes: number): number => Math.ceil(bytes / 4) * 4;

/**
 * Where the parts of a quantized layout start, in bytes: codes at 0, then scales. GGUF types have `codes` only.
 *
 * @example
 * ```ts
 * import { layout } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.deepEqual(layout("nf4", [3, 50]), { scales: 76, nested: 88, offset: 88, end: 88 });
 * ```
 */
export function layout(
  dtype: DType,
  shape: readonly number[],
): { readonly scales: number; readonly nested: number; readonly offset: number; readonly end: number } {
  const n = shape.reduce((a, b) => a * b, 1);
  const plain = (end: number) => ({ scales: end, nested: end, offset: end, end });
  switch (dtype) {
    case "f32":
    case "i32":
      return plain(4 * n);
    case "f16":
    case "bf16":
      return plain(2 * n);
    case "u8":
      return plain(n);
    case "int8": {
      const codes = padded(n);
      const end = codes + 4 * (n === 0 ? 0 : n / shape[shape.length - 1]!);
      return { scales: codes, nested: end, offset: end, end };
    }
    case "nf4":
    case "fp4":
    case "int4":
    case "e2m1":
    case "e3m0": {
      const codes = padded(Math.ceil(n / 2));
      const end = codes + 4 * Math.ceil(n / CODE_BLOCK);
      return { scales: codes, nested: end, offset: end, end };
    }
    case "nf4_double":
    case "fp4_double": {
      const codes = padded(Math.ceil(n / 2));
      const blocks = Math.ceil(n / CODE_BLOCK);
      const nested = codes + padded(blocks);
      const offset = nested + 4 * Math.ceil(blocks / NESTED_BLOCK);
      return { scales: codes, nested, offset, end: offset + 4 };
    }
    case "dynamic8":
    case "udynamic8": {
      const codes = padded(n);
      const end = codes + 4 * Math.ceil(n / DYNAMIC_BLOCK);
      return { scales: codes, nested: end, offset: end, end };
    }
    default: {
      const block = ggufBlock(dtype);
      const last = shape[shape.length - 1] ?? 1;
      if (last % block.elements !== 0) {
        throw rangeError(
          "INVALID_TENSOR",
          `Cannot store [${
            shape.join(", ")
          }] as ${dtype}: the last axis must be a multiple of ${block.elements} but is ${last}`,
        );
      }
      return plain((n / block.elements) * block.bytes);
    }
  }
}

/**
 * Size in bytes of a tensor of this dtype and shape.
 *
 * @example
 * ```ts
 * import { byteLength } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.equal(byteLength("bf16", [4, 64]), 512);
 * assert.equal(byteLength("nf4", [4, 64]), 144); // half a byte per element, and a scale for each block of 64
 * ```
 */
export function byteLength(dtype: DType, shape: readonly number[]): number {
  return layout(dtype, shape).end;
}

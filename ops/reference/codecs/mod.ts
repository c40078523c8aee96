/**
 * Conversion of every dtype to numbers and back: the only module that knows all the layouts of
 * `tensor/dtype.ts`. @module
 */
import { byteLength, type DType } from "../../../tensor/dtype.ts";
import { type Shape, size } from "../../../tensor/shape.ts";
import { decodeCodebook, encodeCodebook } from "./codebook.ts";
import { decodeGguf, encodeGguf } from "./gguf.ts";
import { decodeBf16, decodeF16, encodeBf16, encodeF16, roundEven } from "./half.ts";
import { decodeDynamic, decodeInt8, encodeDynamic, encodeInt8 } from "./rows.ts";

export { roundEven };

/** Numbers of a tensor: a view for f32, i32 and u8, new f32 values for the rest. */
export type Numbers = Float32Array | Int32Array | Uint8Array;

/**
 * The numbers `from` … `to − 1` (row-major) of a tensor's bytes; by default all of them. The range of a GGUF
 * type is aligned to blocks. `bytes` starts at a multiple of 4.
 */
export function decode(
  dtype: DType,
  bytes: Uint8Array,
  shape: Shape,
  from: number = 0,
  to: number = size(shape),
): Numbers {
  const n = size(shape);
  const halves = () => new Uint16Array(bytes.buffer, bytes.byteOffset + 2 * from, to - from);
  switch (dtype) {
    case "f32":
      return new Float32Array(bytes.buffer, bytes.byteOffset + 4 * from, to - from);
    case "i32":
      return new Int32Array(bytes.buffer, bytes.byteOffset + 4 * from, to - from);
    case "u8":
      return bytes.subarray(from, to);
    case "f16":
      return decodeF16(halves());
    case "bf16":
      return decodeBf16(halves());
    case "int8":
      return decodeInt8(bytes, shape, from, to);
    case "nf4":
    case "fp4":
    case "int4":
    case "e2m1":
    case "e3m0":
    case "nf4_double":
    case "fp4_double":
      return decodeCodebook(dtype, bytes, n, from, to);
    case "dynamic8":
    case "udynamic8":
      return decodeDynamic(dtype, bytes, n, from, to);
    default:
      return decodeGguf(dtype, bytes, from, to);
  }
}

/**
 * Writes numbers as a tensor's bytes. Floats are converted to integers by truncation; out-of-range values
 * saturate and NaN becomes 0.
 *
 * @throws {TypeError} for q4_k, q5_k and q6_k.
 */
export function encode(dtype: DType, numbers: Numbers | Float64Array, shape: Shape, bytes: Uint8Array): void {
  const floats = () => numbers instanceof Float32Array ? numbers : Float32Array.from(numbers);
  const put = (codes: Uint8Array | Uint16Array) =>
    bytes.set(new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength));
  switch (dtype) {
    case "f32":
      return new Float32Array(bytes.buffer, bytes.byteOffset, size(shape)).set(numbers);
    case "i32":
      return new Int32Array(bytes.buffer, bytes.byteOffset, size(shape))
        .set(Float64Array.from(numbers, (x) => clamp(Math.trunc(x), -(2 ** 31), 2 ** 31 - 1)));
    case "u8":
      return bytes.set(Float64Array.from(numbers, (x) => clamp(Math.trunc(x), 0, 255)));
    case "f16":
      return put(encodeF16(floats()));
    case "bf16":
      return put(encodeBf16(floats()));
    case "int8":
      return put(encodeInt8(floats(), shape));
    case "nf4":
    case "fp4":
    case "int4":
    case "e2m1":
    case "e3m0":
    case "nf4_double":
    case "fp4_double":
      return put(encodeCodebook(dtype, floats()));
    case "dynamic8":
    case "udynamic8":
      return put(encodeDynamic(dtype, floats()));
    default:
      byteLength(dtype, shape); // throws where the last axis has no whole number of blocks
      return put(encodeGguf(dtype, floats()));
  }
}

const clamp = (x: number, low: number, high: number): number => Math.min(high, Math.max(low, x)) || 0;

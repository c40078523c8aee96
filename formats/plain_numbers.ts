/**
 * The number types of weight files, and how each becomes one of our plain dtypes: the same bytes where the
 * type is supported, otherwise wider or narrower numbers (integers become i32 and must fit, f64 becomes f32).
 */
import type { DType } from "../tensor/mod.ts";
import { rangeError } from "../errors/error.ts";

/** Element types, by their safetensors names. */
export type NumberType =
  | "BOOL"
  | "U8"
  | "I8"
  | "I16"
  | "U16"
  | "F16"
  | "BF16"
  | "I32"
  | "U32"
  | "F32"
  | "F64"
  | "I64"
  | "U64";

/** Bytes of one element, by type. The order is that of the safetensors library, which sorts tensors by it. */
export const NUMBER_BYTES: Readonly<Record<NumberType, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
};

/** Whether a string names a number type. */
export function isNumberType(text: unknown): text is NumberType {
  return typeof text === "string" && Object.hasOwn(NUMBER_BYTES, text);
}

/** The dtype as which elements of a number type are read. */
export function plainDtype(type: NumberType): DType {
  switch (type) {
    case "F32":
    case "F64":
      return "f32";
    case "F16":
      return "f16";
    case "BF16":
      return "bf16";
    case "U8":
    case "BOOL":
      return "u8";
    default:
      return "i32";
  }
}

/** Whether elements of a number type are stored like those of its dtype. */
export function storedPlain(type: NumberType): boolean {
  return ["F32", "F16", "BF16", "U8", "BOOL", "I32"].includes(type);
}

/**
 * The bytes of elements of a number type as bytes of `plainDtype(type)`.
 *
 * @param where The tensor, for the error message.
 * @throws {RangeError} when an integer does not fit i32, or a f64 overflows f32.
 */
export function toPlain(where: string, type: NumberType, bytes: Uint8Array): Uint8Array {
  if (storedPlain(type)) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = NUMBER_BYTES[type];
  const n = bytes.length / width;
  const out = new DataView(new ArrayBuffer(4 * n));
  for (let i = 0; i < n; i++) {
    const value = element(view, type, i * width);
    if (type === "F64") {
      if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) {
        throw rangeError("FILE_INVALID", `Cannot read ${where} as f32: element ${i} is ${value}`);
      }
      out.setFloat32(4 * i, value, true);
    } else {
      if (value !== (value | 0)) {
        throw rangeError("FILE_INVALID", `Cannot read ${where} as i32: element ${i} is ${value}`);
      }
      out.setInt32(4 * i, value, true);
    }
  }
  return new Uint8Array(out.buffer);
}

/** f16 or bf16 bytes as f32 bytes; exact. */
export function halfToF32(dtype: "f16" | "bf16", bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new DataView(new ArrayBuffer(2 * bytes.length));
  for (let i = 0; i < bytes.length; i += 2) {
    if (dtype === "f16") out.setFloat32(2 * i, view.getFloat16(i, true), true);
    else out.setUint32(2 * i, view.getUint16(i, true) * 65536, true);
  }
  return new Uint8Array(out.buffer);
}

function element(view: DataView, type: NumberType, at: number): number {
  switch (type) {
    case "I8":
      return view.getInt8(at);
    case "I16":
      return view.getInt16(at, true);
    case "U16":
      return view.getUint16(at, true);
    case "U32":
      return view.getUint32(at, true);
    case "I64":
      return Number(view.getBigInt64(at, true));
    case "U64":
      return Number(view.getBigUint64(at, true));
    default:
      return view.getFloat64(at, true);
  }
}

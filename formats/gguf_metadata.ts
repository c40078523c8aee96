/**
 * Metadata values of GGUF files with their types, so that a file can be rewritten unchanged. Value types as
 * in the GGUF specification: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import type { Cursor } from "./gguf_cursor.ts";
import { rangeError, syntaxError } from "../errors/error.ts";

/** Scalar value types; their codes in the file are their indices in `CODES`. */
export type GgufScalar =
  | "u8"
  | "i8"
  | "u16"
  | "i16"
  | "u32"
  | "i32"
  | "f32"
  | "bool"
  | "string"
  | "u64"
  | "i64"
  | "f64";

/** A typed metadata value. */
export type GgufValue =
  | { readonly type: Exclude<GgufScalar, "bool" | "string" | "u64" | "i64">; readonly value: number }
  | { readonly type: "u64" | "i64"; readonly value: bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "array"; readonly of: GgufScalar | "array"; readonly value: readonly GgufItem[] };

/** An element of an array: a scalar, or a typed array in an array of arrays. */
export type GgufItem = number | bigint | boolean | string | GgufValue;

const CODES = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const;

/** The minimum size in bytes of a value of each type, in the order of `CODES`. */
const LEAST = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8] as const;

/** Maximum depth of nested arrays; no known file uses more than one level. */
const DEPTH_LIMIT = 4;

/**
 * Reads a type code and a value.
 *
 * @throws {SyntaxError} when the type code or a boolean is invalid, or arrays are nested too deep.
 * @throws {RangeError} when the value would exceed the file.
 */
export function readGgufValue(file: string, key: string, from: Cursor): GgufValue {
  return readTyped(file, key, from, readType(file, key, from), 0);
}

/**
 * The value without its types: 64-bit integers as numbers where exact (else bigint), arrays as arrays.
 *
 * @example
 * ```ts
 * import { plainGgufValue } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * assert.equal(plainGgufValue({ type: "u64", value: 7n }), 7);
 * assert.deepEqual(plainGgufValue({ type: "array", of: "u32", value: [1, 2] }), [1, 2]);
 * ```
 */
export function plainGgufValue(item: GgufItem): unknown {
  if (typeof item === "bigint") return Number.isSafeInteger(Number(item)) ? Number(item) : item;
  if (typeof item !== "object") return item;
  return item.type === "array" ? item.value.map(plainGgufValue) : plainGgufValue(item.value);
}

/**
 * A value's bytes, type code first, as a list of chunks.
 *
 * @throws {RangeError} when a number does not fit its type.
 */
export function encodeGgufValue(key: string, value: GgufValue): readonly Uint8Array[] {
  return [word(CODES.indexOf(value.type)), ...encodeTyped(key, value)];
}

/** A string as stored in the file: 64-bit length, then UTF-8. */
export function encodeGgufText(text: string): readonly Uint8Array[] {
  const bytes = new TextEncoder().encode(text);
  return [long(bytes.length), bytes];
}

/** A 32-bit number, little endian. */
export function word(n: number): Uint8Array {
  return scalarBytes("", "u32", n);
}

/** A 64-bit number, little endian. */
export function long(n: number): Uint8Array {
  return scalarBytes("", "u64", BigInt(n));
}

function readType(file: string, key: string, from: Cursor): typeof CODES[number] {
  const code = from.take(`the type of "${key}"`, 4).getUint32(0, true);
  const type = CODES[code];
  if (type === undefined) {
    throw syntaxError("FILE_INVALID", `Cannot read ${file}: metadata "${key}" has unknown type ${code}`);
  }
  return type;
}

function readTyped(
  file: string,
  key: string,
  from: Cursor,
  type: typeof CODES[number],
  depth: number,
): GgufValue {
  if (type !== "array") return { type, value: readScalar(file, key, from, type) } as GgufValue;
  if (depth === DEPTH_LIMIT) {
    throw syntaxError(
      "FILE_INVALID",
      `Cannot read ${file}: metadata "${key}" nests arrays more than ${DEPTH_LIMIT} deep`,
    );
  }
  const of = readType(file, key, from);
  const n = from.count(`metadata array "${key}"`, LEAST[CODES.indexOf(of)]!);
  const value: GgufItem[] = [];
  for (let i = 0; i < n; i++) {
    value.push(of === "array" ? readTyped(file, key, from, of, depth + 1) : readScalar(file, key, from, of));
  }
  return { type, of, value };
}

function readScalar(
  file: string,
  key: string,
  from: Cursor,
  type: GgufScalar,
): number | bigint | boolean | string {
  const what = `metadata "${key}"`;
  switch (type) {
    case "u8":
      return from.take(what, 1).getUint8(0);
    case "i8":
      return from.take(what, 1).getInt8(0);
    case "u16":
      return from.take(what, 2).getUint16(0, true);
    case "i16":
      return from.take(what, 2).getInt16(0, true);
    case "u32":
      return from.take(what, 4).getUint32(0, true);
    case "i32":
      return from.take(what, 4).getInt32(0, true);
    case "f32":
      return from.take(what, 4).getFloat32(0, true);
    case "u64":
      return from.take(what, 8).getBigUint64(0, true);
    case "i64":
      return from.take(what, 8).getBigInt64(0, true);
    case "f64":
      return from.take(what, 8).getFloat64(0, true);
    case "string":
      return from.text(what);
    case "bool": {
      const byte = from.take(what, 1).getUint8(0);
      if (byte > 1) {
        throw syntaxError(
          "FILE_INVALID",
          `Cannot read ${file}: ${what} is a truth value but its byte is ${byte}`,
        );
      }
      return byte === 1;
    }
    default:
      return type satisfies never;
  }
}

function encodeTyped(key: string, value: GgufValue): readonly Uint8Array[] {
  if (value.type === "array") {
    const { of } = value;
    return [
      word(CODES.indexOf(of)),
      long(value.value.length),
      ...value.value.flatMap((item) =>
        of === "array" ? encodeTyped(key, item as GgufValue) : encodeScalar(key, of, item)
      ),
    ];
  }
  return encodeScalar(key, value.type, value.value);
}

function encodeScalar(key: string, type: GgufScalar, value: GgufItem): readonly Uint8Array[] {
  return type === "string" ? encodeGgufText(value as string) : [scalarBytes(key, type, value)];
}

function scalarBytes(key: string, type: Exclude<GgufScalar, "string">, value: GgufItem): Uint8Array {
  const bytes = new Uint8Array(LEAST[CODES.indexOf(type)]!);
  const view = new DataView(bytes.buffer);
  const n = Number(value);
  switch (type) {
    case "u8":
    case "bool":
      view.setUint8(0, n);
      break;
    case "i8":
      view.setInt8(0, n);
      break;
    case "u16":
      view.setUint16(0, n, true);
      break;
    case "i16":
      view.setInt16(0, n, true);
      break;
    case "u32":
      view.setUint32(0, n, true);
      break;
    case "i32":
      view.setInt32(0, n, true);
      break;
    case "f32":
      view.setFloat32(0, n, true);
      return bytes; // floats are rounded
    case "f64":
      view.setFloat64(0, n, true);
      return bytes;
    case "u64":
      view.setBigUint64(0, BigInt(value as bigint), true);
      break;
    case "i64":
      view.setBigInt64(0, BigInt(value as bigint), true);
      break;
  }
  if (integerOf(view, type) !== BigInt(value as number)) {
    throw rangeError("CANNOT_SAVE", `Cannot write metadata "${key}": ${value} does not fit ${type}`);
  }
  return bytes;
}

function integerOf(
  view: DataView,
  type: "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "bool" | "u64" | "i64",
): bigint {
  const bits = view.byteLength * 8;
  let n = 0n;
  for (let i = view.byteLength - 1; i >= 0; i--) n = n * 256n + BigInt(view.getUint8(i));
  return type.startsWith("i") ? BigInt.asIntN(bits, n) : n;
}

/**
 * Raw handles of the reference backend, and the ways kernels access operands: values (decoded), the f32 or
 * i32 view to write into, whole elements to move, and index maps for strided walks.
 */
import type { Operand } from "../../tensor/backend.ts";
import { byteLength } from "../../tensor/dtype.ts";
import { type Shape, showShape, size } from "../../tensor/shape.ts";
import { broadcastStrides } from "../../tensor/walk.ts";
import { decode, encode, type Numbers } from "./codecs/mod.ts";
import { typeError } from "../../errors/error.ts";

/** A raw handle: bytes on their own buffer, so that every typed view is aligned. */
export interface HostBytes {
  bytes: Uint8Array<ArrayBuffer>;
}

/** The bytes of an operand. */
export function bytesOf(x: Operand): Uint8Array<ArrayBuffer> {
  return (x.raw as HostBytes).bytes.subarray(0, byteLength(x.dtype, x.shape));
}

/** The numbers of an operand of any dtype; plain f32, i32 and u8 are views. */
export function numbers(x: Operand): Numbers {
  return decode(x.dtype, bytesOf(x), x.shape);
}

/** The numbers `from` … `to − 1` of an operand, for tables too large to decode whole. */
export function numbersIn(x: Operand, from: number, to: number): Numbers {
  return decode(x.dtype, bytesOf(x), x.shape, from, to);
}

/** The f32 view of an operand that a kernel writes. @throws {TypeError} when it is not f32. */
export function floats(out: Operand): Float32Array<ArrayBuffer> {
  if (out.dtype !== "f32") {
    throw typeError("INVALID_TENSOR", `Expected an f32 operand but found ${out.dtype}`);
  }
  return new Float32Array(bytesOf(out).buffer, 0, size(out.shape));
}

/** The i32 view of an operand. @throws {TypeError} when it is not i32. */
export function integers(x: Operand): Int32Array<ArrayBuffer> {
  if (x.dtype !== "i32") throw typeError("INVALID_TENSOR", `Expected an i32 operand but found ${x.dtype}`);
  return new Int32Array(bytesOf(x).buffer, 0, size(x.shape));
}

/** Writes numbers to an operand of any dtype. */
export function write(out: Operand, values: Numbers | Float64Array): void {
  encode(out.dtype, values, out.shape, bytesOf(out));
}

/** The elements of a plain operand as bit patterns, for kernels that only move them. */
export function elements(x: Operand): Uint8Array | Uint16Array | Uint32Array {
  const bytes = bytesOf(x);
  switch (x.dtype) {
    case "f32":
    case "i32":
      return new Uint32Array(bytes.buffer, 0, size(x.shape));
    case "f16":
    case "bf16":
      return new Uint16Array(bytes.buffer, 0, size(x.shape));
    case "u8":
      return bytes;
    default:
      throw typeError(
        "INVALID_TENSOR",
        `Expected a plain operand but found ${x.dtype} ${showShape(x.shape)}: cast it first`,
      );
  }
}

/** Offsets of a row-major walk over `shape` through storage with the given strides. */
export function walk(shape: Shape, steps: readonly number[], base: number = 0): Int32Array {
  let offsets: Int32Array = Int32Array.of(base);
  shape.forEach((n, axis) => {
    const next = new Int32Array(offsets.length * n);
    const step = steps[axis]!;
    for (let i = 0, at = 0; i < offsets.length; i++) {
      for (let j = 0; j < n; j++) next[at++] = offsets[i]! + j * step;
    }
    offsets = next;
  });
  return offsets;
}

/** The offset of each element of `to` in an operand of shape `from` broadcast to it. */
export function broadcastOffsets(from: Shape, to: Shape): Int32Array {
  return walk(to, broadcastStrides(from, to));
}

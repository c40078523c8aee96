/** The common interface of weight files: named tensors whose bytes are read only on demand. */
import type { DType, Shape } from "../tensor/mod.ts";
import { syntaxError } from "../errors/error.ts";

/** One tensor of a file. */
export interface StoredTensor {
  /** The full path in the checkpoint. */
  readonly name: string;
  /** How the bytes are to be interpreted. */
  readonly dtype: DType;
  /** Sizes, the contiguous axis last. */
  readonly shape: Shape;
  /**
   * To what the program that quantized the numbers rounds them when it decodes them, where the file says so: bitsandbytes'
   * `quant_state.dtype`. Codes here give f32.
   */
  readonly decodesTo?: "f16" | "bf16" | "f32";
  /** Bytes that `read` returns: `byteLength(dtype, shape)` of core. */
  readonly byteLength: number;
  /**
   * A new copy of the bytes, in the layout that core defines for the dtype.
   *
   * @throws {RangeError} when the file ends too early or a stored number does not fit the dtype.
   */
  read(): Uint8Array;
  /**
   * The same bytes in order, in chunks that share one small buffer: each is valid until the next is
   * requested, and stays in the processor's cache. Absent where the file does not store the bytes in this
   * form.
   *
   * @throws {RangeError} when the file ends too early.
   */
  chunks?(): Iterable<Uint8Array>;
}

/** A tensor to be written. `read` is called once, when it is written, so its bytes need not exist before. */
export interface WritableTensor extends Omit<StoredTensor, "read" | "chunks"> {
  /** The bytes, or a promise of them. */
  read(): Uint8Array | Promise<Uint8Array>;
}

/** An open weight file. */
export interface TensorFile {
  /** By name, in the file's order. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** The file's metadata. */
  readonly metadata: ReadonlyMap<string, unknown>;
  /** Closes the file handles; a later `read` throws. Closing twice is allowed. */
  close(): void;
}

/** An object parsed from JSON, such as a `config.json`. */
export type JsonObject = { readonly [key: string]: unknown };

/**
 * Refuses tensor names that are unsafe as paths of a weight tree.
 *
 * @throws {SyntaxError} when the name is empty or one of its segments is `__proto__`.
 */
export function checkTensorName(file: string, name: string): void {
  if (name === "" || name.split(".").includes("__proto__")) {
    throw syntaxError("FILE_INVALID", `Cannot read ${file}: "${name}" is not allowed as a tensor name`);
  }
}

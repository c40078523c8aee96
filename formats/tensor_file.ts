/**
 * What every weight file looks like to the rest of the toolkit: named tensors whose bytes are read only when asked for.
 */
import type { DType, Shape } from "../tensor/mod.ts";

/** One tensor of a file. */
export interface StoredTensor {
  /** The whole path in the checkpoint. */
  readonly name: string;
  /** How the bytes are to be read. */
  readonly dtype: DType;
  /** Sizes, the contiguous axis last. */
  readonly shape: Shape;
  /**
   * To what the program that coded the numbers rounds them when it decodes them, where the file says so: bitsandbytes'
   * `quant_state.dtype`. Codes here give f32.
   */
  readonly decodesTo?: "f16" | "bf16" | "f32";
  /** Bytes that `read` returns: `byteLength(dtype, shape)` of core. */
  readonly byteLength: number;
  /**
   * A fresh copy of the bytes, in the layout that core states for the dtype.
   *
   * @throws {RangeError} when the file ends too early or a stored number does not fit the dtype.
   */
  read(): Uint8Array;
  /**
   * The same bytes from first to last in pieces that share one small buffer: each is good until the next is asked for, and
   * stays in the processor's cache on its way. Absent where the file does not hold the bytes as they are.
   *
   * @throws {RangeError} when the file ends too early.
   */
  pieces?(): Iterable<Uint8Array>;
}

/** A tensor to be written. `read` is called once, when its turn comes, so its bytes need not exist before. */
export interface WritableTensor extends Omit<StoredTensor, "read" | "pieces"> {
  /** The bytes, or a promise of them. */
  read(): Uint8Array | Promise<Uint8Array>;
}

/** An open weight file. */
export interface TensorFile {
  /** By name, in the file's order. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** What the file says beside its tensors. */
  readonly metadata: ReadonlyMap<string, unknown>;
  /** Gives the file handles back; a later `read` throws. Closing twice is fine. */
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
    throw new SyntaxError(`Cannot read ${file}: "${name}" is not allowed as a tensor name`);
  }
}

/**
 * Needed by every family of kernels: the exports, addresses of operands, and memory for words and temporary
 * values.
 */
import type { Operand } from "../../tensor/backend.ts";
import type { DType } from "../../tensor/dtype.ts";
import { showShape } from "../../tensor/shape.ts";
import type { Arena, Block } from "./arena.ts";
import type { Kernels, Machine } from "./machine.ts";
import { failure, typeError } from "../../errors/error.ts";

/** The backend's internals, shared by its kernels. */
export interface Context {
  /** The crate's exports. @throws {Error} after `close`. */
  kernels(): Kernels;
  /**
   * Address of an operand of any dtype; a lazy one is computed now, by kernels that use their own words.
   * @throws {Error} when it was released.
   */
  address(x: Operand): number;
  /** Address of an operand that a kernel reads or writes as f32 (or as the dtype given). @throws {TypeError} otherwise. */
  at(x: Operand, dtype?: DType): number;
  /**
   * Writes words where the crate can read them until the next call, and returns their address. Request
   * addresses of operands before.
   */
  words(values: readonly number[]): number;
  /** Runs `f` with memory for words that is valid while `f` runs. */
  longWords<T>(values: ArrayLike<number>, f: (pointer: number) => T): T;
  /** Runs `f` with the address of n f32. */
  floats<T>(n: number, f: (pointer: number) => T): T;
}

/** Words that one call may pass: specs of rank 16 for three operands, with some margin. */
const WORDS = 256;

/** A context over a machine and its arena. */
export function context(machine: () => Machine, memory: Arena): Context {
  const { wordBytes } = machine();
  const room = memory.allocate(wordBytes * WORDS);
  const address = (x: Operand): number => {
    const { pointer } = x.raw as Block;
    if (pointer) return pointer;
    throw failure("FREED", `Cannot use a tensor ${showShape(x.shape)}: its memory was released`);
  };
  return {
    kernels: () => machine().kernels,
    address,
    at(x, dtype = "f32"): number {
      if (x.dtype === dtype) return address(x);
      throw typeError(
        "INVALID_TENSOR",
        `Expected an ${dtype} operand but found ${x.dtype} ${showShape(x.shape)}: cast it first`,
      );
    },
    words(values): number {
      machine().write(room.pointer, values);
      return room.pointer;
    },
    longWords: (values, f) =>
      memory.borrow(wordBytes * values.length, (pointer) => {
        machine().write(pointer, values);
        return f(pointer);
      }),
    floats: (n, f) => memory.borrow(4 * n, f),
  };
}

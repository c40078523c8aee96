/** Needed by every family of kernels: spans of operands, parts of large ones, temporary memory, checks. */
import type { Operand, Raw } from "../../tensor/backend.ts";
import { floatOf } from "../../tensor/bits.ts";
import { byteLength, type DType } from "../../tensor/dtype.ts";
import { type Shape, showShape } from "../../tensor/shape.ts";
import { MARK_BYTES } from "./checks.ts";
import type { OpenDevice } from "./device.ts";
import { each, type Kernel } from "./kernel.ts";
import { fillKernel } from "./kernels/encode.ts";
import type { Block, Pool } from "./pool.ts";
import type { Span, Stream } from "./stream.ts";
import { TABLE_BYTES } from "./tables.ts";
import { failure, rangeError, typeError } from "../../errors/error.ts";

/**
 * A storage. A single filled-in value is also kept here and passed as an argument to kernels that support
 * that; its buffer is created when a kernel needs one.
 */
export interface Handle {
  block: Block | undefined;
  /** The value's bits. */
  constant: number | undefined;
  released: boolean;
  readonly bytes: number;
}

/** A run of elements of large operands. */
export interface Part {
  readonly from: number;
  readonly count: number;
}

/** A binding of some words of an operand, and the index of its first word. */
export interface Window {
  readonly span: Span;
  readonly first: number;
}

/** The backend's internals, shared by its kernels. */
export interface Context {
  readonly stream: Stream;
  readonly open: OpenDevice;
  /** The tables of codebooks (`tables.ts`), on the device. */
  readonly tables: Span;
  /** Marks of indices out of range (`checks.ts`). */
  readonly marks: Span;
  allocate(bytes: number): Handle;
  release(handle: Handle): void;
  /** The block of an operand. @throws {Error} when it was released. */
  block(x: Operand): Block;
  /** All of an operand. @throws {RangeError} when it exceeds the maximum binding size. */
  whole(x: Operand): Span;
  /** `count` elements starting at `from`, of an operand whose elements take `unit` bytes. */
  part(x: Operand, part: Part, unit: number): Span;
  /**
   * `count` words starting at `from`, or earlier where a binding cannot start there; `first` is its first
   * word.
   */
  window(x: Operand, from: number, count: number): Window;
  /** Maximum number of words in a window. */
  readonly room: number;
  /** Elements in pieces that fit a binding, or `most` bytes; `step` divides every `from`. */
  parts(n: number, bytes: number, step: number, most?: number): readonly Part[];
  /** The value of an operand of one element, where it is known on the host. */
  constant(x: Operand): number | undefined;
  /** A generated kernel, created once per key. */
  made(key: string, make: () => Kernel): Kernel;
  /** Runs `f` with operands that are valid until their commands finish. */
  temporary<T>(shape: Shape, dtype: DType, f: (x: Operand) => T): T;
}

/** Throws unless an operand has the dtype that a kernel reads or writes. */
export function expect(x: Operand, dtype: DType = "f32"): Operand {
  if (x.dtype === dtype) return x;
  throw typeError(
    "INVALID_TENSOR",
    `Expected an ${dtype} operand but found ${x.dtype} ${showShape(x.shape)}: cast it first`,
  );
}

/** Rows that make a part start at a multiple of 256 bytes, the alignment of bindings, when an element takes 4. */
export function alignedRows(width: number): number {
  return rowStep(64, width);
}

/** Rows of a width that make a multiple of `step` elements. */
export function rowStep(step: number, width: number): number {
  let [a, b] = [step, width];
  while (b > 0) [a, b] = [b, a % b];
  return step / a;
}

/** Alignment of bindings, in words. */
const ALIGNED_WORDS = 64;

const round16 = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);

/** A context over a device. */
export function context(open: OpenDevice, stream: Stream, blocks: Pool): Context {
  const limit = open.bindingBytes - open.bindingBytes % 256;
  const kernels = new Map<string, Kernel>();

  const allocate = (bytes: number): Handle => {
    open.check();
    // Most single values stay on the host: see Handle.
    const block = bytes > 4 ? blocks.take(bytes) : undefined;
    return { block, constant: undefined, released: false, bytes };
  };
  const release = (handle: Handle): void => {
    if (handle.released) throw failure("FREED", `Cannot release ${handle.bytes} bytes twice`);
    if (handle.block !== undefined) blocks.give(handle.block);
    handle.block = undefined;
    handle.released = true;
  };
  const blockOf = (x: Operand): Block => {
    const handle = x.raw as Handle;
    if (handle.released) {
      throw failure("FREED", `Cannot use a tensor ${showShape(x.shape)}: its memory was released`);
    }
    if (handle.block === undefined) {
      handle.block = blocks.take(handle.bytes);
      if (handle.constant !== undefined) {
        const spans = [{ block: handle.block, offset: 0, bytes: 16 }];
        stream.run(fillKernel, {
          spans,
          args: { n: 1, word: handle.constant },
          grid: each(1),
        });
        handle.constant = undefined; // from now on the buffer holds it, and kernels may write there
      }
    }
    return handle.block;
  };
  const tooLarge = (x: Operand, bytes: number): RangeError =>
    rangeError(
      "INVALID_TENSOR",
      `Cannot bind ${x.dtype}${showShape(x.shape)} on the GPU: ${bytes} bytes are needed at once and ` +
        `maxStorageBufferBindingSize is ${open.bindingBytes}; use a smaller batch or the wasm backend`,
    );
  const own: Context = {
    stream,
    open,
    tables: { block: blocks.take(TABLE_BYTES), offset: 0, bytes: TABLE_BYTES },
    marks: { block: blocks.take(MARK_BYTES), offset: 0, bytes: MARK_BYTES },
    allocate,
    release,
    block: blockOf,
    whole(x): Span {
      const block = blockOf(x);
      if (block.bytes <= limit) return { block, offset: 0, bytes: block.bytes };
      const bytes = round16(byteLength(x.dtype, x.shape));
      if (bytes <= limit) return { block, offset: 0, bytes };
      throw tooLarge(x, bytes);
    },
    part(x, { from, count }, unit): Span {
      const block = blockOf(x);
      if (from === 0 && block.bytes <= limit) return { block, offset: 0, bytes: block.bytes };
      const bytes = round16(count * unit);
      if (bytes > limit) throw tooLarge(x, bytes);
      return { block, offset: from * unit, bytes };
    },
    window(x, from, count): Window {
      const block = blockOf(x);
      if (block.bytes <= limit) return { span: { block, offset: 0, bytes: block.bytes }, first: 0 };
      const first = from - from % ALIGNED_WORDS;
      const bytes = round16(4 * (from - first + count));
      if (bytes > limit) throw tooLarge(x, bytes);
      return { span: { block, offset: 4 * first, bytes }, first };
    },
    room: limit / 4 - ALIGNED_WORDS,
    parts(n, bytes, step, fitting = limit): readonly Part[] {
      if (n * bytes <= fitting) return n > 0 ? [{ from: 0, count: n }] : [];
      const most = Math.floor(fitting / bytes / step) * step;
      if (most === 0) {
        throw rangeError(
          "INVALID_TENSOR",
          `Cannot bind rows of ${bytes} bytes on the GPU: maxStorageBufferBindingSize is ` +
            `${open.bindingBytes}; use a smaller batch or the wasm backend`,
        );
      }
      return Array.from({ length: Math.ceil(n / most) }, (_, i) => ({
        from: i * most,
        count: Math.min(most, n - i * most),
      }));
    },
    constant(x): number | undefined {
      const { constant } = x.raw as Handle;
      return constant === undefined ? undefined : floatOf(constant);
    },
    made(key, make): Kernel {
      let kernel = kernels.get(key);
      if (kernel === undefined) kernels.set(key, kernel = make());
      return kernel;
    },
    temporary(shape, dtype, f) {
      const raw: Raw = allocate(Math.max(8, byteLength(dtype, shape)));
      try {
        return f({ raw, shape, dtype });
      } finally {
        release(raw as Handle); // its commands run before those of the buffer's next user
      }
    },
  };
  return own;
}

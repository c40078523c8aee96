/**
 * How a kernel accesses an operand of any dtype: spans of codes, scales and tables, and the arguments that
 * place them.
 */
import type { Operand } from "../../tensor/backend.ts";
import { type DType, ggufBlock, isGguf, layout } from "../../tensor/dtype.ts";
import { rowsAndWidth, size } from "../../tensor/shape.ts";
import type { Context, Part } from "./context.ts";
import type { Arguments } from "./kernel.ts";
import type { Span } from "./stream.ts";
import { tableOf } from "./tables.ts";

/** A part of an operand, ready to be decoded. */
export interface DecodingPart {
  readonly piece: Part;
  /** Codes, scales, tables. */
  readonly spans: readonly [Span, Span, Span];
  readonly args: Arguments;
}

/** An operand as seen by kernels that decode. */
export interface Decoding {
  /**
   * Parts whose codes, and whose values at `bytes` per element, fit a binding; each starts at a multiple of
   * `step` elements, which must be a multiple of `stepOf` its dtype where there is more than one part.
   */
  pieces(bytes: number, step: number): readonly DecodingPart[];
  /** One part, chosen by the caller under the same rules. */
  piece(piece: Part): DecodingPart;
}

/** A number of elements at whose multiples the parts of every layout are aligned. */
export const STEP = 32768;

/** The same for one dtype: fewer where elements are whole bytes or words. */
export function stepOf(dtype: DType): number {
  const bytes: { readonly [dtype in DType]?: number } = { f32: 4, i32: 4, f16: 2, bf16: 2, int8: 1, u8: 1 };
  return bytes[dtype] === undefined ? STEP : 256 / bytes[dtype];
}

/** Bytes of codes for n elements. */
function codeBytes(x: Operand, n: number): number {
  if (isGguf(x.dtype)) {
    const { elements, bytes } = ggufBlock(x.dtype);
    return n / elements * bytes;
  }
  return layout(x.dtype, [n]).scales;
}

/** The decoding of an operand. */
export function decoding(context: Context, x: Operand): Decoding {
  const n = size(x.shape);
  const at = layout(x.dtype, x.shape);
  const block = context.block(x);
  const start = at.scales - at.scales % 256;
  const scaled = at.end > at.scales;
  const scales: Span = scaled ? { block, offset: start, bytes: block.bytes - start } : context.tables;
  const args = {
    width: rowsAndWidth(x.shape).width,
    scalesAt: (at.scales - start) / 4,
    nestedAt: (at.nested - start) / 4,
    offsetAt: (at.offset - start) / 4,
    valuesAt: tableOf(x.dtype).values,
    mapAt: tableOf("dynamic8").values,
  };
  const piece = (part: Part): DecodingPart => {
    const offset = codeBytes(x, part.from);
    const end = Math.min(block.bytes, offset + Math.ceil((codeBytes(x, part.count) + 16) / 16) * 16);
    const codes = part.count === n && block.bytes <= context.open.bindingBytes
      ? { block, offset: 0, bytes: block.bytes }
      : { block, offset, bytes: end - offset };
    return {
      piece: part,
      spans: [codes, scales, context.tables],
      args: { ...args, first: part.from },
    };
  };
  return {
    piece,
    pieces: (bytes, step): readonly DecodingPart[] =>
      context.parts(n, Math.max(bytes, codeBytes(x, 256) / 256), step, 4 * context.room).map(piece),
  };
}

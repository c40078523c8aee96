/**
 * Conversions between dtypes, fills and the optimizer step, whose moments may be quantized. Everything goes
 * through f32.
 */
import type { Backend, Operand } from "../../tensor/backend.ts";
import { bitsOf } from "../../tensor/bits.ts";
import {
  byteLength,
  CODE_BLOCK,
  type DType,
  DYNAMIC_BLOCK,
  ggufBlock,
  type GgufType,
  isGguf,
  layout,
  NESTED_BLOCK,
} from "../../tensor/dtype.ts";
import { rowsAndWidth, size } from "../../tensor/shape.ts";
import { type Context, expect, type Handle, rowStep } from "./context.ts";
import { type Decoding, decoding, STEP } from "./decoding.ts";
import { each } from "./kernel.ts";
import { adamwKernel } from "./kernels/adamw.ts";
import { decodeKernel } from "./kernels/decode.ts";
import { absmaxKernel, encodeEight, encodeFour, encodePlain, fillKernel } from "./kernels/encode.ts";
import { encodeBlocks } from "./kernels/encode_gguf.ts";
import { meanKernel, nestedKernel } from "./kernels/encode_nested.ts";
import { tableOf } from "./tables.ts";
import { typeError } from "../../errors/error.ts";
import { pow } from "../../elementary/power.ts";

/** The kernels of this file. */
export type CastKernels = Pick<Backend, "fill" | "copy" | "cast" | "adamw">;

const PLAIN: readonly DType[] = ["f16", "bf16", "i32", "u8"];
const BLOCKS: readonly DType[] = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0"];

/** Casts over a context. */
export function castKernels(context: Context): CastKernels {
  const { stream, made, parts, part, temporary, block } = context;

  const decode = (x: Operand, out: Operand): void => {
    const { pieces }: Decoding = decoding(context, x);
    const kernel = made(`decode ${x.dtype}`, () => decodeKernel(x.dtype));
    for (const { piece, spans, args } of pieces(4, STEP)) {
      const n = Math.ceil(piece.count / 4);
      stream.run(kernel, { spans: [...spans, part(out, piece, 4)], args: { ...args, n }, grid: each(n) });
    }
  };
  const copy = (x: Operand, out: Operand): void => {
    const { constant } = x.raw as Handle;
    if (constant !== undefined && (out.raw as Handle).block === undefined) {
      (out.raw as Handle).constant = constant;
    } else if (size(x.shape) > 0) stream.copy(block(x), block(out), byteLength(x.dtype, x.shape));
  };
  const plain = (x: Operand, out: Operand): void => {
    const unit = byteLength(out.dtype, [1]);
    for (const piece of parts(size(x.shape), 4, STEP)) {
      const n = Math.ceil(piece.count * unit / 4);
      stream.run(encodePlain, {
        spans: [part(x, piece, 4), part(out, piece, unit)],
        args: { n, elements: piece.count },
        constants: { KIND: PLAIN.indexOf(out.dtype) },
        grid: each(n),
      });
    }
  };
  /** Scales of blocks of `length` elements, [blocks], as bits of f32. */
  const absmax = (x: Operand, length: number, floor: boolean, out: Operand): void => {
    // Parts hold whole blocks and start at aligned bytes.
    const step = length * rowStep(STEP, length);
    for (const piece of parts(size(x.shape), 4, step)) {
      const n = Math.ceil(piece.count / length);
      stream.run(absmaxKernel, {
        spans: [part(x, piece, 4), context.whole(out)],
        args: { n, length, elements: piece.count, firstBlock: piece.from / length },
        constants: { FLOOR: Number(floor) },
        grid: each(n),
      });
    }
  };
  /** Codes of four or eight bits with a scale per block, followed by the scales. */
  const blockwise = (x: Operand, out: Operand): void => {
    const n = size(x.shape);
    const { width } = rowsAndWidth(x.shape);
    const bits = out.dtype === "int8" || out.dtype.endsWith("dynamic8") ? 8 : 4;
    const length = out.dtype === "int8" ? width : bits === 8 ? DYNAMIC_BLOCK : CODE_BLOCK;
    const blocks = Math.ceil(n / length);
    temporary([blocks], "f32", (scales) => {
      absmax(x, length, out.dtype !== "int8", scales);
      const { bounds, count, codes } = tableOf(out.dtype);
      for (const piece of parts(n, 4, STEP)) {
        // The last word of an odd number of nibbles holds an additional one.
        const words = Math.ceil(piece.count * bits / 32);
        stream.run(bits === 8 ? encodeEight : encodeFour, {
          spans: [part(x, piece, 4), context.whole(scales), context.tables, part(out, piece, bits / 8)],
          args: {
            ...{ n: words, elements: piece.count, first: piece.from, total: n, width },
            ...{ boundsAt: bounds, count, codesAt: codes },
          },
          constants: bits === 8 ? { SIGNED: Number(out.dtype === "int8") } : {},
          grid: each(words),
        });
      }
      const at = layout(out.dtype, out.shape);
      if (!out.dtype.endsWith("_double")) stream.copy(block(scales), block(out), 4 * blocks, at.scales);
      else nested(scales, blocks, out);
    });
  };
  const nested = (scales: Operand, blocks: number, out: Operand): void => {
    const groups = Math.ceil(blocks / NESTED_BLOCK);
    const at = layout(out.dtype, out.shape);
    const { bounds, count } = tableOf("dynamic8");
    temporary(
      [1],
      "f32",
      (mean) =>
        temporary([Math.ceil(blocks / 4)], "i32", (codes) =>
          temporary([groups], "f32", (level) => {
            const { whole } = context;
            stream.run(meanKernel, {
              spans: [whole(scales), whole(mean)],
              args: { n: blocks, zero: 0 },
              grid: [1, 1, 1],
            });
            stream.run(nestedKernel, {
              spans: [whole(scales), whole(mean), context.tables, whole(codes), whole(level)],
              args: { n: groups, blocks, boundsAt: bounds, count },
              grid: each(groups),
            });
            stream.copy(block(codes), block(out), at.nested - at.scales, at.scales);
            stream.copy(block(level), block(out), 4 * groups, at.nested);
            stream.copy(block(mean), block(out), 4, at.offset);
          })),
    );
  };
  const gguf = (x: Operand, out: Operand, type: GgufType): void => {
    const { bytes, elements } = ggufBlock(type);
    for (const piece of parts(size(x.shape), 4, STEP)) {
      const blocks = piece.count / elements;
      const n = Math.ceil(blocks / 2);
      stream.run(encodeBlocks, {
        spans: [part(x, piece, 4), part(out, piece, bytes / elements)],
        args: { n, blocks, bytes },
        constants: { TYPE: BLOCKS.indexOf(type) },
        grid: each(n),
      });
    }
  };
  const encode = (x: Operand, out: Operand): void => {
    const { dtype } = out;
    if (dtype === "q4_k" || dtype === "q5_k" || dtype === "q6_k") {
      throw typeError(
        "INVALID_TENSOR",
        `Cannot encode to ${dtype}: it can only be read; encode to q8_0, q5_1, q5_0, q4_1 or q4_0`,
      );
    }
    byteLength(dtype, out.shape); // throws where the last axis is not a whole number of blocks
    if (size(x.shape) === 0) return;
    if (dtype === "f32") copy(x, out);
    else if (PLAIN.includes(dtype)) plain(x, out);
    else if (isGguf(dtype)) gguf(x, out, dtype);
    else blockwise(x, out);
  };
  /** Runs `f` with x as f32: x itself, or decoded to temporary memory. */
  const reading = (x: Operand, f: (x: Operand) => void): void =>
    x.dtype === "f32" ? f(x) : temporary(x.shape, "f32", (decoded) => {
      decode(x, decoded);
      f(decoded);
    });
  /** Runs `f` with memory for out as f32, and encodes the result. */
  const writing = (out: Operand, f: (out: Operand) => void): void =>
    out.dtype === "f32" ? f(out) : temporary(out.shape, "f32", (plain) => {
      f(plain);
      encode(plain, out);
    });

  return {
    copy,
    fill(value: number, out: Operand): void {
      const handle = out.raw as Handle;
      const n = size(out.shape);
      const word = out.dtype === "i32" ? clampToInt(value) : bitsOf(value);
      if (out.dtype !== "f32" && out.dtype !== "i32") return writing(out, (plain) => this.fill(value, plain));
      if (n === 1 && handle.block === undefined) {
        handle.constant = word >>> 0;
        return;
      }
      for (const piece of parts(n, 4, 64)) {
        const vectors = Math.ceil(piece.count / 4);
        const spans = [part(out, piece, 4)];
        stream.run(fillKernel, { spans, args: { n: vectors, word }, grid: each(vectors) });
      }
    },
    cast(x: Operand, out: Operand): void {
      if (x.dtype === out.dtype) copy(x, out);
      else if (size(x.shape) === 0) return;
      else if (out.dtype === "f32") decode(x, out);
      else reading(x, (plain) => encode(plain, out));
    },
    adamw(parameter, gradient, first, second, options, nextParameter, nextFirst, nextSecond) {
      const { learningRate, beta1, beta2, epsilon, weightDecay, step } = options;
      const args = {
        beta1,
        beta2,
        rest1: 1 - beta1,
        rest2: 1 - beta2,
        epsilon,
        keep: 1 - learningRate * weightDecay,
        rate: learningRate / (1 - pow(beta1, step)),
        correct2: 1 / (1 - pow(beta2, step)),
      };
      const inputs = [parameter, gradient, first, second] as const;
      const outputs = [nextParameter, nextFirst, nextSecond] as const;
      const run = (operands: readonly Operand[], rest: readonly Operand[], visit: typeof reading): void => {
        const [next, ...others] = rest;
        if (next) return visit(next, (x) => run([...operands, x], others, visit));
        if (operands.length === inputs.length) return run(operands, outputs, writing);
        for (const piece of parts(size(parameter.shape), 4, 64)) {
          const n = Math.ceil(piece.count / 4);
          const spans = operands.map((x) => part(expect(x), piece, 4));
          stream.run(adamwKernel, { spans, args: { ...args, n }, grid: each(n) });
        }
      };
      run([], inputs, reading);
    },
  };
}

const clampToInt = (value: number): number =>
  Math.min(2 ** 31 - 1, Math.max(-(2 ** 31), Math.trunc(value))) || 0;

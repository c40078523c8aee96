/** Conversions between dtypes: everything goes through f32, one whole tensor at a time. */
import type { Backend, Operand } from "../../tensor/backend.ts";
import { bitsOf } from "../../tensor/bits.ts";
import { byteLength, type DType } from "../../tensor/dtype.ts";
import { rowsAndWidth, size } from "../../tensor/shape.ts";
import { DTYPE } from "./codes.ts";
import type { Context } from "./context.ts";
import { typeError } from "../../errors/error.ts";
import { pow } from "../../elementary/power.ts";

/** The kernels of this file. */
export type CastKernels = Pick<Backend, "fill" | "copy" | "cast" | "adamw">;

/** Casts, fills and the optimizer step, whose moments may be quantized. */
export function castKernels(context: Context): CastKernels {
  const { kernels, address } = context;

  const decode = (x: Operand, pointer: number): void =>
    kernels().decode(DTYPE[x.dtype], address(x), size(x.shape), rowsAndWidth(x.shape).width, pointer);
  const encode = (pointer: number, out: Operand): void => {
    refuse(out.dtype);
    byteLength(out.dtype, out.shape); // throws where the last axis is not a whole number of blocks
    kernels().encode(DTYPE[out.dtype], pointer, size(out.shape), rowsAndWidth(out.shape).width, address(out));
  };
  /** Runs `f` with x as f32: in place, or decoded to temporary memory. */
  const reading = <T>(x: Operand, f: (pointer: number) => T): T =>
    x.dtype === "f32" ? f(address(x)) : context.floats(size(x.shape), (pointer) => {
      decode(x, pointer);
      return f(pointer);
    });
  /** Runs `f` with memory for out as f32, and encodes the result. */
  const writing = <T>(out: Operand, f: (pointer: number) => T): T =>
    out.dtype === "f32" ? f(address(out)) : context.floats(size(out.shape), (pointer) => {
      const result = f(pointer);
      encode(pointer, out);
      return result;
    });
  const copy = (x: Operand, out: Operand): void =>
    kernels().copy(address(x), address(out), byteLength(x.dtype, x.shape));

  return {
    copy,
    fill(value: number, out: Operand): void {
      const n = size(out.shape);
      if (out.dtype === "i32") kernels().fill32(clampToInt(value), address(out), n);
      else writing(out, (pointer) => kernels().fill32(bitsOf(value), pointer, n));
    },
    cast(x: Operand, out: Operand): void {
      if (x.dtype === out.dtype) copy(x, out);
      else if (out.dtype === "f32") decode(x, address(out));
      else reading(x, (pointer) => encode(pointer, out));
    },
    adamw(parameter, gradient, first, second, options, nextParameter, nextFirst, nextSecond) {
      const { learningRate, beta1, beta2, epsilon, weightDecay, step } = options;
      const constants = [
        ...[beta1, beta2, 1 - beta1, 1 - beta2, 1 - learningRate * weightDecay],
        ...[learningRate / (1 - pow(beta1, step)), 1 / (1 - pow(beta2, step)), epsilon],
      ] as const;
      const inputs = [parameter, gradient, first, second] as const;
      const outputs = [nextParameter, nextFirst, nextSecond] as const;
      const run = (at: readonly number[], rest: readonly Operand[], visit: typeof reading): void => {
        const [next, ...others] = rest;
        if (next) return visit(next, (pointer) => run([...at, pointer], others, visit));
        if (at.length === inputs.length) return run(at, outputs, writing);
        const [p, g, m, v, p2, m2, v2] = at as [number, number, number, number, number, number, number];
        kernels().adamw(p, g, m, v, size(parameter.shape), ...constants, p2, m2, v2);
      };
      run([], inputs, reading);
    },
  };
}

const clampToInt = (value: number): number =>
  Math.min(2 ** 31 - 1, Math.max(-(2 ** 31), Math.trunc(value))) || 0;

function refuse(dtype: DType): void {
  if (dtype === "q4_k" || dtype === "q5_k" || dtype === "q6_k") {
    throw typeError(
      "INVALID_TENSOR",
      `Cannot encode to ${dtype}: it can only be read; encode to q8_0, q5_1, q5_0, q4_1 or q4_0`,
    );
  }
}

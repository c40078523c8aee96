/** Small operands on which kernels are compared. */
import { byteLength, type DType, type Shape, size } from "../../tensor/mod.ts";

/** An input of numbers, or an output. */
export interface Value {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly numbers?: ArrayLike<number>;
}

/** Numbers between -scale and scale, the same on every machine. */
const noise = (n: number, scale: number): Float32Array => {
  let state = 7;
  return Float32Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * scale;
  });
};
/** Numbers of both signs. */
export const input = (shape: Shape, scale: number = 1): Value => ({
  shape,
  dtype: "f32",
  numbers: noise(size(shape), scale),
});
/** Numbers above 0. */
export const positive = (shape: Shape): Value => ({
  shape,
  dtype: "f32",
  numbers: noise(size(shape), 1).map((x) => Math.abs(x) + 0.1),
});
/** Integers from 0 to below a bound. */
export const whole = (shape: Shape, below: number): Value => ({
  shape,
  dtype: "i32",
  numbers: noise(size(shape), 1).map((x) => Math.floor((x + 1) / 2 * below)),
});
/** Weights in codes: any bytes below 64 are some. */
export const codes = (shape: Shape, dtype: DType): Value => ({
  shape,
  dtype,
  numbers: noise(byteLength(dtype, shape), 1).map((x) => Math.floor((x + 1) * 32)),
});
/** What a kernel writes. */
export const output = (shape: Shape, dtype: DType = "f32"): Value => ({ shape, dtype });

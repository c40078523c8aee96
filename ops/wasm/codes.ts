/** Numeric codes of dtypes and ops in the crate. Their order is that of the match arms in `crate/src`. */
import type { BinaryOp, ReduceOp, UnaryOp } from "../../tensor/backend.ts";
import type { DType } from "../../tensor/dtype.ts";

/** `decode::dtype` in the crate. */
export const DTYPE: { readonly [dtype in DType]: number } = {
  f32: 0,
  f16: 1,
  bf16: 2,
  i32: 3,
  u8: 4,
  int8: 5,
  nf4: 6,
  fp4: 7,
  int4: 8,
  e2m1: 9,
  e3m0: 10,
  nf4_double: 11,
  fp4_double: 12,
  dynamic8: 13,
  udynamic8: 14,
  q4_0: 15,
  q4_1: 16,
  q5_0: 17,
  q5_1: 18,
  q8_0: 19,
  q4_k: 20,
  q5_k: 21,
  q6_k: 22,
};

/** `elementwise::unary` in the crate. */
export const UNARY: { readonly [op in UnaryOp]: number } = {
  negate: 0,
  exp: 1,
  log: 2,
  sqrt: 3,
  rsqrt: 4,
  reciprocal: 5,
  square: 6,
  abs: 7,
  sign: 8,
  sin: 9,
  cos: 10,
  tanh: 11,
  sigmoid: 12,
  silu: 13,
  relu: 14,
  gelu: 15,
  geluTanh: 16,
  erf: 17,
  floor: 18,
  round: 19,
};

/** `elementwise::binary` in the crate. */
export const BINARY: { readonly [op in BinaryOp]: number } = {
  add: 0,
  subtract: 1,
  multiply: 2,
  divide: 3,
  maximum: 4,
  minimum: 5,
  power: 6,
  equal: 7,
  less: 8,
  lessEqual: 9,
};

/** `reduce::reduce` in the crate. */
export const REDUCE: { readonly [op in ReduceOp]: number } = { sum: 0, max: 1, min: 2 };

/** Elementwise kernels: unary and binary arithmetic, selection, the gated unit and its derivative. All in f64. */
import type { BinaryOp, Operand, UnaryOp } from "../../tensor/backend.ts";
import { sameShape } from "../../tensor/shape.ts";
import { roundEven } from "./codecs/mod.ts";
import { erf, erfc } from "./erf.ts";
import { broadcastOffsets, floats, integers, numbers } from "./storage.ts";
import { exp, log, tanh } from "../../elementary/exponential.ts";
import { pow } from "../../elementary/power.ts";
import { cos, sin } from "../../elementary/trigonometry.ts";

const sigmoid = (x: number): number => x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));

const UNARY: { readonly [op in UnaryOp]: (x: number) => number } = {
  negate: (x) => -x,
  exp,
  log,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  reciprocal: (x) => 1 / x,
  square: (x) => x * x,
  abs: Math.abs,
  sign: Math.sign,
  sin,
  cos,
  tanh,
  sigmoid,
  silu: (x) => x * sigmoid(x),
  relu: (x) => Math.max(x, 0),
  gelu: (x) => 0.5 * x * erfc(-x * Math.SQRT1_2),
  geluTanh: (x) => x * sigmoid(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)),
  erf,
  floor: Math.floor,
  round: roundEven,
};

const BINARY: { readonly [op in BinaryOp]: (a: number, b: number) => number } = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  maximum: Math.max,
  minimum: Math.min,
  power: pow,
  equal: (a, b) => a === b ? 1 : 0,
  less: (a, b) => a < b ? 1 : 0,
  lessEqual: (a, b) => a <= b ? 1 : 0,
};

/** out = op(x). `round` takes ties to the even integer. */
export function unary(op: UnaryOp, x: Operand, out: Operand): void {
  const f = UNARY[op];
  const from = numbers(x);
  const to = floats(out);
  for (let i = 0; i < to.length; i++) to[i] = f(from[i]!);
}

/** out = op(a, b), broadcast. Integer results of i32 operands wrap at 32 bits; division truncates. */
export function binary(op: BinaryOp, a: Operand, b: Operand, out: Operand): void {
  const f = BINARY[op];
  const [x, y] = [spread(a, out), spread(b, out)];
  const to = out.dtype === "i32" ? integers(out) : floats(out);
  for (let i = 0; i < to.length; i++) to[i] = f(x(i), y(i));
}

/** out = condition ≠ 0 ? a : b, broadcast. */
export function select(condition: Operand, a: Operand, b: Operand, out: Operand): void {
  const [test, x, y] = [spread(condition, out), spread(a, out), spread(b, out)];
  const to = out.dtype === "i32" ? integers(out) : floats(out);
  for (let i = 0; i < to.length; i++) to[i] = test(i) !== 0 ? x(i) : y(i);
}

/** Element i of an operand broadcast to out's shape. */
function spread(x: Operand, out: Operand): (i: number) => number {
  const values = numbers(x);
  if (sameShape(x.shape, out.shape)) return (i) => values[i]!;
  const offsets = broadcastOffsets(x.shape, out.shape);
  return (i) => values[offsets[i]!]!;
}

/** out = silu(gate) ⊙ up. */
export function swiglu(gate: Operand, up: Operand, out: Operand): void {
  const [x, y, to] = [numbers(gate), numbers(up), floats(out)];
  for (let i = 0; i < to.length; i++) to[i] = x[i]! * sigmoid(x[i]!) * y[i]!;
}

/** silu'(x) = σ(x) (1 + x (1 − σ(x))). */
export function swigluGrad(gate: Operand, up: Operand, g: Operand, dgate: Operand, dup: Operand): void {
  const [x, y, upstream] = [numbers(gate), numbers(up), numbers(g)];
  const [dx, dy] = [floats(dgate), floats(dup)];
  for (let i = 0; i < dx.length; i++) {
    const s = sigmoid(x[i]!);
    const [gi, xi, yi] = [upstream[i]!, x[i]!, y[i]!];
    dx[i] = gi * yi * s * (1 + xi * (1 - s));
    dy[i] = gi * xi * s;
  }
}

/**
 * Elementwise kernels: y = op(x), y = op(a, b) with broadcasting, selection, the gated unit and its
 * derivative. Flat ones take four elements per invocation, 64 invocations per workgroup; broadcast ones
 * follow the operands' strides. Checked against the reference by tests/ops/gpu/elementwise.test.ts.
 */
import type { BinaryOp, UnaryOp } from "../../../tensor/backend.ts";
import { EACH, type Kernel } from "../kernel.ts";
import { MATH } from "./math.ts";

/** WGSL of y = op(x). `round` rounds ties to even. */
const UNARY: { readonly [op in UnaryOp]: string } = {
  negate: "-x",
  exp: "exp_(x)",
  log: "log_(x)",
  sqrt: "sqrt(x)",
  rsqrt: "1.0 / sqrt(x)",
  reciprocal: "1.0 / x",
  square: "x * x",
  abs: "abs(x)",
  sign: "select(select(select(x, -1.0, x < 0.0), 1.0, x > 0.0), x, is_nan(x))",
  sin: "sin_(x)",
  cos: "cos_(x)",
  tanh: "tanh_(x)",
  sigmoid: "sigmoid_(x)",
  silu: "silu_(x)",
  relu: "select(x, 0.0, x < 0.0)",
  gelu: "gelu_(x)",
  geluTanh: "gelu_tanh_(x)",
  erf: "erf_(x)",
  floor: "floor(x)",
  round: "round(x)",
};

/** WGSL of y = op(a, b). Comparisons with NaN are false. */
const BINARY: { readonly [op in BinaryOp]: string } = {
  add: "a + b",
  subtract: "a - b",
  multiply: "a * b",
  divide: "a / b",
  maximum: "larger(a, b)",
  minimum: "smaller(a, b)",
  power: "power_(a, b)",
  equal: "select(0.0, 1.0, a == b && !is_nan(a) && !is_nan(b))",
  less: "select(0.0, 1.0, a < b && !is_nan(a) && !is_nan(b))",
  lessEqual: "select(0.0, 1.0, a <= b && !is_nan(a) && !is_nan(b))",
};

/** The same for i32, with results as the bits of i32 or, for comparisons, of f32. */
const INTEGER: { readonly [op in BinaryOp]: string } = {
  add: "bitcast<u32>(a + b)",
  subtract: "bitcast<u32>(a - b)",
  multiply: "bitcast<u32>(a * b)",
  divide: "bitcast<u32>(select(a / select(b, 1, b == 0), 0, b == 0))",
  maximum: "bitcast<u32>(max(a, b))",
  minimum: "bitcast<u32>(min(a, b))",
  power: "integer_power(a, b)",
  equal: "bitcast<u32>(select(0.0, 1.0, a == b))",
  less: "bitcast<u32>(select(0.0, 1.0, a < b))",
  lessEqual: "bitcast<u32>(select(0.0, 1.0, a <= b))",
};

/** The value of the constant `OP` for an op. */
export const unaryCode = (op: UnaryOp): number => Object.keys(UNARY).indexOf(op);
export const binaryCode = (op: BinaryOp): number => Object.keys(BINARY).indexOf(op);

/** A function that chooses among expressions by the constant `OP`; one case remains after compilation. */
const choose = (head: string, table: Readonly<Record<string, string>>): string => `
override OP: u32;
${head} {
  switch (OP) {
${Object.values(table).map((value, i) => `    case ${i}u: { return ${value}; }`).join("\n")}
    default: { return ${Object.values(table)[0]}; }
  }
}
`;

const COMBINE = choose("fn f(a: f32, b: f32) -> f32", BINARY);

export const unaryKernel: Kernel = {
  name: "unary",
  args: { n: "u32" },
  reads: { x: "vec4<f32>" },
  writes: { y: "vec4<f32>" },
  code: `${MATH}${choose("fn f(x: f32) -> f32", UNARY)}
fn element(i: u32) {
  let v = x[i];
  y[i] = vec4<f32>(f(v.x), f(v.y), f(v.z), f(v.w));
}
${EACH}`,
};

/** Both operands of the output's shape. */
export const binaryFlat: Kernel = {
  name: "binaryFlat",
  args: { n: "u32" },
  reads: { a: "vec4<f32>", b: "vec4<f32>" },
  writes: { y: "vec4<f32>" },
  code: `${MATH}${COMBINE}
fn element(i: u32) {
  let p = a[i];
  let q = b[i];
  y[i] = vec4<f32>(f(p.x, q.x), f(p.y, q.y), f(p.z, q.z), f(p.w, q.w));
}
${EACH}`,
};

/** One operand is a scalar: the second, or with FIRST = 1 the first. */
export const binaryNumber: Kernel = {
  name: "binaryNumber",
  args: { n: "u32", value: "f32" },
  reads: { x: "vec4<f32>" },
  writes: { y: "vec4<f32>" },
  code: `${MATH}${COMBINE}
override FIRST: u32;
fn g(x: f32) -> f32 {
  if (FIRST == 1u) { return f(args.value, x); }
  return f(x, args.value);
}
fn element(i: u32) {
  let v = x[i];
  y[i] = vec4<f32>(g(v.x), g(v.y), g(v.z), g(v.w));
}
${EACH}`,
};

/**
 * The offsets of element i of a box in a, b, c and y: `sizes` from the last axis on, a corner and steps for
 * each operand.
 */
const WALK = `
override RANK: u32;
fn places(i: u32) -> vec4<u32> {
  var rest = i;
  var at = vec4<u32>(args.atA, args.atB, args.atC, args.atY);
  for (var d = 0u; d < RANK; d++) {
    let n = args.sizes[d / 4u][d % 4u];
    let c = rest % n;
    rest /= n;
    at += c * vec4<u32>(
      args.stepsA[d / 4u][d % 4u],
      args.stepsB[d / 4u][d % 4u],
      args.stepsC[d / 4u][d % 4u],
      args.stepsY[d / 4u][d % 4u],
    );
  }
  return at;
}
`;

const WALKED = {
  ...{ n: "u32", atA: "u32", atB: "u32", atC: "u32", atY: "u32", sizes: "u32x8" } as const,
  ...{ stepsA: "u32x8", stepsB: "u32x8", stepsC: "u32x8", stepsY: "u32x8" } as const,
};

/** Operands broadcast to the output's shape. */
export const binaryWalk: Kernel = {
  name: "binaryWalk",
  args: WALKED,
  reads: { a: "f32", b: "f32" },
  writes: { y: "f32" },
  code: `${MATH}${COMBINE}${WALK}
fn element(i: u32) {
  let at = places(i);
  y[at.w] = f(a[at.x], b[at.y]);
}
${EACH}`,
};

/**
 * i32 operands. Results wrap at 32 bits; division truncates, and division by zero gives 0; comparisons write
 * f32.
 */
export const binaryInteger: Kernel = {
  name: "binaryInteger",
  args: WALKED,
  reads: { a: "i32", b: "i32" },
  writes: { y: "u32" },
  code: `${WALK}
fn integer_power(a: i32, b: i32) -> u32 {
  if (b < 0) { return bitcast<u32>(select(0, select(1, a, (b & 1) == 1), a == 1 || a == -1)); }
  var y = 1;
  var square = a;
  for (var n = u32(b); n > 0u; n >>= 1u) {
    if ((n & 1u) == 1u) { y *= square; }
    square *= square;
  }
  return bitcast<u32>(y);
}
${choose("fn f(a: i32, b: i32) -> u32", INTEGER)}
fn element(i: u32) {
  let at = places(i);
  y[at.w] = f(a[at.x], b[at.y]);
}
${EACH}`,
};

/** y = condition ≠ 0 ? a : b. The condition is f32, or i32 with WHOLE = 1; a, b and y are words of any kind. */
export const selectWalk: Kernel = {
  name: "select",
  args: WALKED,
  reads: { condition: "u32", a: "u32", b: "u32" },
  writes: { y: "u32" },
  code: `${WALK}
override WHOLE: u32;
fn element(i: u32) {
  let at = places(i);
  let bits = condition[at.x];
  // Both zeros of f32 are zero.
  let chosen = select((bits << 1u) != 0u, bits != 0u, WHOLE == 1u);
  y[at.w] = select(b[at.z], a[at.y], chosen);
}
${EACH}`,
};

/** y = silu(gate) ⊙ up. */
export const swigluKernel: Kernel = {
  name: "swiglu",
  args: { n: "u32" },
  reads: { gate: "vec4<f32>", up: "vec4<f32>" },
  writes: { y: "vec4<f32>" },
  code: `${MATH}
fn element(i: u32) {
  let g = gate[i];
  y[i] = vec4<f32>(silu_(g.x), silu_(g.y), silu_(g.z), silu_(g.w)) * up[i];
}
${EACH}`,
};

/** dgate = g ⊙ up ⊙ σ (1 + gate (1 − σ)), dup = g ⊙ gate ⊙ σ, with σ the sigmoid of the gate. */
export const swigluGradKernel: Kernel = {
  name: "swigluGrad",
  args: { n: "u32" },
  reads: { gate: "vec4<f32>", up: "vec4<f32>", g: "vec4<f32>" },
  writes: { dgate: "vec4<f32>", dup: "vec4<f32>" },
  code: `${MATH}
fn element(i: u32) {
  let x = gate[i];
  let s = vec4<f32>(sigmoid_(x.x), sigmoid_(x.y), sigmoid_(x.z), sigmoid_(x.w));
  let upstream = g[i];
  dgate[i] = upstream * up[i] * s * (1.0 + x * (1.0 - s));
  dup[i] = upstream * x * s;
}
${EACH}`,
};

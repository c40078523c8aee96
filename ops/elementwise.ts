/**
 * All elementwise ops by name. The derivatives of unary and binary ops use each other, so they are defined
 * together; `unary.ts` and `binary.ts` export them.
 */
import {
  type BinaryOp,
  broadcast,
  defineOp,
  type Op,
  type Pullback,
  Tensor,
  type UnaryOp,
} from "../tensor/mod.ts";
import { sumTo } from "./broadcast.ts";
import { scalar } from "./scalar.ts";
import { typeError } from "../errors/error.ts";

/** An elementwise op of one tensor. */
export type Unary = (x: Tensor) => Tensor;

/** An elementwise op of two tensors; a number is treated as a scalar tensor. */
export type Binary = (a: Tensor | number, b: Tensor | number) => Tensor;

/** The unary ops. */
export const UNARY: Readonly<Record<UnaryOp, Unary>> = {
  negate: unary("negate"),
  exp: unary("exp"),
  log: unary("log"),
  sqrt: unary("sqrt"),
  rsqrt: unary("rsqrt"),
  reciprocal: unary("reciprocal"),
  square: unary("square"),
  abs: unary("abs"),
  sign: unary("sign"),
  sin: unary("sin"),
  cos: unary("cos"),
  tanh: unary("tanh"),
  sigmoid: unary("sigmoid"),
  silu: unary("silu"),
  relu: unary("relu"),
  gelu: unary("gelu"),
  geluTanh: unary("geluTanh"),
  erf: unary("erf"),
  floor: unary("floor"),
  round: unary("round"),
};

/** The binary ops. */
export const BINARY: Readonly<Record<BinaryOp, Binary>> = {
  add: binary("add"),
  subtract: binary("subtract"),
  multiply: binary("multiply"),
  divide: binary("divide"),
  maximum: binary("maximum"),
  minimum: binary("minimum"),
  power: binary("power"),
  equal: binary("equal"),
  less: binary("less"),
  lessEqual: binary("lessEqual"),
};

const { cos, erf, exp, log, negate, reciprocal, sigmoid, sign, sin, square, tanh } = UNARY;
const { add, divide, less, lessEqual, multiply, power, subtract } = BINARY;

function unary(op: UnaryOp): Unary {
  const run: Op<undefined> = defineOp({
    name: op,
    shape: ([x]) => [x!.shape],
    run: (backend, [x], [y]) => backend.unary(op, x!, y!),
    vjp: ([x], [y]) => slope(op, x!, y!),
  });
  return (x) => run([x], undefined);
}

/** g times the derivative of `op` at x, given y = op(x). */
function slope(op: UnaryOp, x: Tensor, y: Tensor): Pullback {
  const from = (kept: Tensor, f: (kept: Tensor) => Tensor): Pullback => ({
    saved: [kept],
    pull: (g) => [multiply(g, f(kept))],
  });
  switch (op) {
    case "negate":
      return { saved: [], pull: (g) => [negate(g)] };
    case "exp":
      return from(y, (y) => y);
    case "log":
      return from(x, reciprocal);
    case "sqrt":
      return from(y, (y) => divide(scalar(0.5, y.backend), y));
    case "rsqrt": // −y³/2
      return from(y, (y) => multiply(multiply(square(y), y), -0.5));
    case "reciprocal": // −y²
      return from(y, (y) => negate(square(y)));
    case "square":
      return from(x, (x) => multiply(x, 2));
    case "abs":
      return from(x, sign);
    case "sin":
      return from(x, cos);
    case "cos":
      return from(x, (x) => negate(sin(x)));
    case "tanh": // 1 − y²
      return from(y, (y) => subtract(1, square(y)));
    case "sigmoid": // y (1 − y)
      return from(y, (y) => multiply(y, subtract(1, y)));
    case "silu": { // s (1 + x (1 − s)), s = σ(x)
      return from(x, (x) => {
        const s = sigmoid(x);
        return multiply(s, add(multiply(x, subtract(1, s)), 1));
      });
    }
    case "relu":
      return from(y, sign);
    case "gelu": // Φ(x) + x φ(x)
      return from(x, (x) =>
        add(
          multiply(add(erf(multiply(x, Math.SQRT1_2)), 1), 0.5),
          multiply(multiply(x, exp(multiply(square(x), -0.5))), 1 / Math.sqrt(2 * Math.PI)),
        ));
    case "geluTanh": // ½(1 + t) + ½ x (1 − t²) c (1 + 3·0.044715 x²), t = tanh(c (x + 0.044715 x³))
      return from(x, (x) => {
        const c = Math.sqrt(2 / Math.PI);
        const x2 = square(x);
        const t = tanh(multiply(multiply(x, add(multiply(x2, 0.044715), 1)), c));
        const inner = multiply(add(multiply(x2, 3 * 0.044715), 1), c);
        return add(
          multiply(add(t, 1), 0.5),
          multiply(multiply(multiply(x, subtract(1, square(t))), inner), 0.5),
        );
      });
    case "erf":
      return from(x, (x) => multiply(exp(negate(square(x))), 2 / Math.sqrt(Math.PI)));
    case "sign":
    case "floor":
    case "round":
      return { saved: [], pull: () => [undefined] };
    default:
      return op satisfies never;
  }
}

function binary(op: BinaryOp): Binary {
  const run: Op<undefined> = defineOp({
    name: op,
    shape: ([a, b]) => [broadcast(op, a!.shape, b!.shape)],
    run: (backend, [a, b], [y]) => backend.binary(op, a!, b!, y!),
    vjp: ([a, b], _, __, needs) => slopes(op, a!, b!, needs),
  });
  return (a, b) => {
    if (a instanceof Tensor) return run([a, b instanceof Tensor ? b : scalar(b, a.backend)], undefined);
    if (b instanceof Tensor) return run([scalar(a, b.backend), b], undefined);
    throw typeError("INVALID_TENSOR", `Expected a tensor in ${op} but found two numbers`);
  };
}

/** Gradients of a and b in op(a, b), before they are summed back to the inputs' shapes. */
function slopes(op: BinaryOp, a: Tensor, b: Tensor, needs: readonly boolean[]): Pullback {
  const to = (saved: readonly Tensor[], da: (g: Tensor) => Tensor, db: (g: Tensor) => Tensor): Pullback => ({
    saved,
    pull: (g) => [needs[0] ? sumTo(da(g), a.shape) : undefined, needs[1] ? sumTo(db(g), b.shape) : undefined],
  });
  const same = (g: Tensor): Tensor => g;
  switch (op) {
    case "add":
      return to([], same, same);
    case "subtract":
      return to([], same, negate);
    case "multiply":
      return to(
        [...needs[0] ? [b] : [], ...needs[1] ? [a] : []],
        (g) => multiply(g, b),
        (g) => multiply(g, a),
      );
    case "divide":
      return to(
        needs[1] ? [a, b] : [b],
        (g) => divide(g, b),
        (g) => negate(multiply(g, divide(a, square(b)))),
      );
    case "maximum": // where equal the gradient goes to a
      return to([a, b], (g) => multiply(g, lessEqual(b, a)), (g) => multiply(g, less(a, b)));
    case "minimum":
      return to([a, b], (g) => multiply(g, lessEqual(a, b)), (g) => multiply(g, less(b, a)));
    case "power":
      return to(
        [a, b],
        (g) => multiply(g, multiply(b, power(a, subtract(b, 1)))),
        (g) => multiply(g, multiply(power(a, b), log(a))),
      );
    case "equal":
    case "less":
    case "lessEqual":
      return { saved: [], pull: () => [undefined, undefined] };
    default:
      return op satisfies never;
  }
}

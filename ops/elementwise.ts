/** Elementwise ops with broadcasting, and their derivatives. */
import {
  allocate,
  type Backend,
  type BinaryOp,
  broadcast,
  defineOp,
  type Op,
  type Pullback,
  sameShape,
  type Shape,
  Tensor,
  type UnaryOp,
} from "../core/tensor/mod.ts";
import { broadcastTo, sumTo } from "./reduce.ts";

/** A scalar [] on a backend. */
export function scalar(value: number, backend: Backend): Tensor {
  const result = allocate(backend, []);
  backend.fill(value, result);
  return result;
}

const pullNothing: Pullback = { saved: [], pull: () => [undefined] };

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
      return pullNothing;
    default:
      return op satisfies never;
  }
}

function unary(op: UnaryOp): (x: Tensor) => Tensor {
  const run: Op<undefined> = defineOp({
    name: op,
    shape: ([x]) => [x!.shape],
    run: (backend, [x], [y]) => backend.unary(op, x!, y!),
    vjp: ([x], [y]) => slope(op, x!, y!),
  });
  return (x) => run([x], undefined);
}

/** −x. */
export const negate: (x: Tensor) => Tensor = unary("negate");
/** eˣ. */
export const exp: (x: Tensor) => Tensor = unary("exp");
/** Natural logarithm. */
export const log: (x: Tensor) => Tensor = unary("log");
/** √x. */
export const sqrt: (x: Tensor) => Tensor = unary("sqrt");
/** 1/√x. */
export const rsqrt: (x: Tensor) => Tensor = unary("rsqrt");
/** 1/x. */
export const reciprocal: (x: Tensor) => Tensor = unary("reciprocal");
/** x². */
export const square: (x: Tensor) => Tensor = unary("square");
/** |x|, with derivative 0 at 0. */
export const abs: (x: Tensor) => Tensor = unary("abs");
/** −1, 0 or 1; derivative 0. */
export const sign: (x: Tensor) => Tensor = unary("sign");
/** Sine of x in radians. */
export const sin: (x: Tensor) => Tensor = unary("sin");
/** Cosine of x in radians. */
export const cos: (x: Tensor) => Tensor = unary("cos");
/** Hyperbolic tangent. */
export const tanh: (x: Tensor) => Tensor = unary("tanh");
/** 1/(1 + e⁻ˣ). */
export const sigmoid: (x: Tensor) => Tensor = unary("sigmoid");
/** x · sigmoid(x), also named swish (arXiv 1606.08415). */
export const silu: (x: Tensor) => Tensor = unary("silu");
/** max(x, 0). */
export const relu: (x: Tensor) => Tensor = unary("relu");
/** x Φ(x) with the error function (arXiv 1606.08415). */
export const gelu: (x: Tensor) => Tensor = unary("gelu");
/** GELU in its tanh form, "gelu_new". */
export const geluTanh: (x: Tensor) => Tensor = unary("geluTanh");
/** The error function. */
export const erf: (x: Tensor) => Tensor = unary("erf");
/** The integer below; derivative 0. */
export const floor: (x: Tensor) => Tensor = unary("floor");
/** The nearest integer, ties to even; derivative 0. */
export const round: (x: Tensor) => Tensor = unary("round");

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

/** An elementwise op of two tensors; a number stands for a scalar. */
export type Binary = (a: Tensor | number, b: Tensor | number) => Tensor;

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
    throw new TypeError(`Expected a tensor in ${op} but found two numbers`);
  };
}

/** a + b. */
export const add: Binary = binary("add");
/** a − b. */
export const subtract: Binary = binary("subtract");
/** a ⊙ b. */
export const multiply: Binary = binary("multiply");
/** a / b. */
export const divide: Binary = binary("divide");
/** The larger of both. */
export const maximum: Binary = binary("maximum");
/** The smaller of both. */
export const minimum: Binary = binary("minimum");
/** aᵇ. */
export const power: Binary = binary("power");
/** 1 where a = b, else 0. */
export const equal: Binary = binary("equal");
/** 1 where a < b, else 0. */
export const less: Binary = binary("less");
/** 1 where a ≤ b, else 0. */
export const lessEqual: Binary = binary("lessEqual");

const selectOp: Op<Shape> = defineOp({
  name: "select",
  shape: (_, shape) => [shape],
  run: (backend, [c, a, b], [y]) => backend.select(c!, a!, b!, y!),
  vjp: ([c, a, b], [y], _, needs) => ({
    saved: [c!],
    pull: (g) => {
      const zero = scalar(0, g.backend);
      const part = (yes: Tensor, no: Tensor, shape: Shape): Tensor =>
        sumTo(selectOp([c!, yes, no], y!.shape), shape);
      return [
        undefined,
        needs[1] ? part(g, zero, a!.shape) : undefined,
        needs[2] ? part(zero, g, b!.shape) : undefined,
      ];
    },
  }),
});

/** a where the condition is not 0, else b; all three broadcast. */
export function select(condition: Tensor, a: Tensor, b: Tensor): Tensor {
  const shape = broadcast("select", condition.shape, broadcast("select", a.shape, b.shape));
  return selectOp([condition, a, b], shape);
}

/** The sum of several tensors of one shape. */
export function addAll(parts: readonly Tensor[]): Tensor {
  return parts.reduce((a, b) => add(a, b));
}

/** x, expanded to a shape when it is smaller. */
export function expand(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : broadcastTo(x, shape);
}

/** Elementwise ops of one tensor, and their derivatives. */
import { defineOp, type Op, type Pullback, type Tensor, type UnaryOp } from "../tensor/mod.ts";
import { add, divide, multiply, subtract } from "./binary.ts";
import { scalar } from "./scalar.ts";

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

/**
 * −x.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { negate } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(negate(tensor([1, -2], { backend: reference() })))], [-1, 2]);
 * ```
 */
export const negate: (x: Tensor) => Tensor = unary("negate");
/**
 * eˣ.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { exp } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(exp(tensor([0], { backend: reference() })))], [1]);
 * ```
 */
export const exp: (x: Tensor) => Tensor = unary("exp");
/**
 * Natural logarithm.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { log } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(log(tensor([1], { backend: reference() })))], [0]);
 * ```
 */
export const log: (x: Tensor) => Tensor = unary("log");
/**
 * √x.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { sqrt } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(sqrt(tensor([4, 9], { backend: reference() })))], [2, 3]);
 * ```
 */
export const sqrt: (x: Tensor) => Tensor = unary("sqrt");
/**
 * 1/√x.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { rsqrt } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(rsqrt(tensor([4, 16], { backend: reference() })))], [0.5, 0.25]);
 * ```
 */
export const rsqrt: (x: Tensor) => Tensor = unary("rsqrt");
/**
 * 1/x.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { reciprocal } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(reciprocal(tensor([2, 4], { backend: reference() })))], [0.5, 0.25]);
 * ```
 */
export const reciprocal: (x: Tensor) => Tensor = unary("reciprocal");
/**
 * x².
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { square } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(square(tensor([-2, 3], { backend: reference() })))], [4, 9]);
 * ```
 */
export const square: (x: Tensor) => Tensor = unary("square");
/**
 * |x|, with derivative 0 at 0.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { abs } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([-2, 3], { backend: reference() });
 * assert.deepEqual([...await read(abs(x))], [2, 3]);
 * ```
 */
export const abs: (x: Tensor) => Tensor = unary("abs");
/**
 * −1, 0 or 1; derivative 0.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { sign } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(sign(tensor([-2, 0, 3], { backend: reference() })))], [-1, 0, 1]);
 * ```
 */
export const sign: (x: Tensor) => Tensor = unary("sign");
/**
 * Sine of x in radians.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { sin } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(sin(tensor([0], { backend: reference() })))], [0]);
 * ```
 */
export const sin: (x: Tensor) => Tensor = unary("sin");
/**
 * Cosine of x in radians.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { cos } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(cos(tensor([0], { backend: reference() })))], [1]);
 * ```
 */
export const cos: (x: Tensor) => Tensor = unary("cos");
/**
 * Hyperbolic tangent.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { tanh } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(tanh(tensor([0, 100], { backend: reference() })))], [0, 1]);
 * ```
 */
export const tanh: (x: Tensor) => Tensor = unary("tanh");
/**
 * 1/(1 + e⁻ˣ).
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { sigmoid } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(sigmoid(tensor([0], { backend: reference() })))], [0.5]);
 * ```
 */
export const sigmoid: (x: Tensor) => Tensor = unary("sigmoid");
/**
 * x · sigmoid(x), also named swish (arXiv 1606.08415).
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { silu } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const [y] = await read(silu(tensor([1], { backend: reference() })));
 * assert.ok(Math.abs(y! - 0.7310586) < 1e-6); // 1 · sigmoid(1)
 * ```
 */
export const silu: (x: Tensor) => Tensor = unary("silu");
/**
 * max(x, 0).
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { relu } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(relu(tensor([-2, 3], { backend: reference() })))], [0, 3]);
 * ```
 */
export const relu: (x: Tensor) => Tensor = unary("relu");
/**
 * x Φ(x) with the error function (arXiv 1606.08415).
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { gelu } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const [y] = await read(gelu(tensor([1], { backend: reference() })));
 * assert.ok(Math.abs(y! - 0.8413447) < 1e-6); // Φ(1)
 * ```
 */
export const gelu: (x: Tensor) => Tensor = unary("gelu");
/**
 * GELU in its tanh form, "gelu_new".
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { geluTanh } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const [y] = await read(geluTanh(tensor([1], { backend: reference() })));
 * assert.ok(Math.abs(y! - 0.8411920) < 1e-6); // near gelu's 0.8413447
 * ```
 */
export const geluTanh: (x: Tensor) => Tensor = unary("geluTanh");
/**
 * The error function.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { erf } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const [y] = await read(erf(tensor([1], { backend: reference() })));
 * assert.ok(Math.abs(y! - 0.8427008) < 1e-6);
 * ```
 */
export const erf: (x: Tensor) => Tensor = unary("erf");
/**
 * The integer below; derivative 0.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { floor } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(floor(tensor([1.5, -1.5], { backend: reference() })))], [1, -2]);
 * ```
 */
export const floor: (x: Tensor) => Tensor = unary("floor");
/**
 * The nearest integer, ties to even; derivative 0.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { round } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * assert.deepEqual([...await read(round(tensor([0.5, 1.5, 2.4], { backend: reference() })))], [0, 2, 2]);
 * ```
 */
export const round: (x: Tensor) => Tensor = unary("round");

/** Elementwise ops of one tensor. */
import type { Tensor } from "../tensor/mod.ts";
import { UNARY } from "./elementwise.ts";

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
export const negate: (x: Tensor) => Tensor = UNARY.negate;
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
export const exp: (x: Tensor) => Tensor = UNARY.exp;
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
export const log: (x: Tensor) => Tensor = UNARY.log;
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
export const sqrt: (x: Tensor) => Tensor = UNARY.sqrt;
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
export const rsqrt: (x: Tensor) => Tensor = UNARY.rsqrt;
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
export const reciprocal: (x: Tensor) => Tensor = UNARY.reciprocal;
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
export const square: (x: Tensor) => Tensor = UNARY.square;
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
export const abs: (x: Tensor) => Tensor = UNARY.abs;
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
export const sign: (x: Tensor) => Tensor = UNARY.sign;
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
export const sin: (x: Tensor) => Tensor = UNARY.sin;
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
export const cos: (x: Tensor) => Tensor = UNARY.cos;
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
export const tanh: (x: Tensor) => Tensor = UNARY.tanh;
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
export const sigmoid: (x: Tensor) => Tensor = UNARY.sigmoid;
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
export const silu: (x: Tensor) => Tensor = UNARY.silu;
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
export const relu: (x: Tensor) => Tensor = UNARY.relu;
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
export const gelu: (x: Tensor) => Tensor = UNARY.gelu;
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
export const geluTanh: (x: Tensor) => Tensor = UNARY.geluTanh;
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
export const erf: (x: Tensor) => Tensor = UNARY.erf;
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
export const floor: (x: Tensor) => Tensor = UNARY.floor;
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
export const round: (x: Tensor) => Tensor = UNARY.round;

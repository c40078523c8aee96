/** Matrix products. */
import {
  broadcast,
  defineOp,
  isGguf,
  isTracked,
  type Op,
  type Shape,
  showShape,
  size,
  type Tensor,
} from "../tensor/mod.ts";
import { sumTo } from "./broadcast.ts";
import { reshape } from "./movement.ts";
import { rangeError } from "../errors/error.ts";

/** Which operands are read with their last two axes exchanged. */
export interface MatmulOptions {
  /** Take a [k, m] for [m, k]. */
  readonly transposeA?: boolean;
  /** Take b [n, k] for [k, n]. */
  readonly transposeB?: boolean;
  /**
   * Round a to eight bits in blocks, as llama.cpp does, where b [n, k] (`transposeB`) is in GGUF blocks and the backend can
   * (`Backend.matmulRounded`). Without effect on other weights, on other backends and where gradients flow. Default false.
   */
  readonly roundA?: boolean;
}

interface Orientation {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

const matmulOp: Op<Orientation> = defineOp({
  name: "matmul",
  shape: ([a, b], { transposeA, transposeB }) => {
    const [m, k] = tail(a!.shape, transposeA);
    const [l, n] = tail(b!.shape, transposeB);
    if (k === undefined || n === undefined || k !== l) {
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot matmul ${showShape(a!.shape)}${transposeA ? "ᵀ" : ""} by ${showShape(b!.shape)}${
          transposeB ? "ᵀ" : ""
        }: inner sizes differ`,
      );
    }
    return [[...broadcast("matmul", a!.shape.slice(0, -2), b!.shape.slice(0, -2)), m!, n]];
  },
  run: (backend, [a, b], [y], orientation) => backend.matmul(a!, b!, orientation, y!),
  vjp: ([a, b], _, { transposeA, transposeB }, needs) => ({
    saved: [...needs[0] ? [b!] : [], ...needs[1] ? [a!] : []],
    pull: (g) => [
      needs[0]
        ? sumTo(
          transposeA
            ? matmulOp([b!, g], { transposeA: transposeB, transposeB: true })
            : matmulOp([g, b!], { transposeA: false, transposeB: !transposeB }),
          a!.shape,
        )
        : undefined,
      needs[1]
        ? sumTo(
          transposeB
            ? matmulOp([g, a!], { transposeA: true, transposeB: transposeA })
            : matmulOp([a!, g], { transposeA: !transposeA, transposeB: false }),
          b!.shape,
        )
        : undefined,
    ],
  }),
});

/** a [m, k] rounded, times bᵀ, b [n, k] in GGUF blocks. */
const roundedOp: Op<Record<string, never>> = defineOp({
  name: "matmul",
  shape: ([a, b]) => {
    const [[m, k], [n, l]] = [a!.shape, b!.shape] as unknown as readonly [[number, number], [number, number]];
    if (k !== l) {
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot matmul ${showShape(a!.shape)} by ${showShape(b!.shape)}ᵀ: inner sizes differ`,
      );
    }
    return [[m, n]];
  },
  run: (backend, [a, b], [y]) => backend.matmulRounded!(a!, b!, y!),
});

function tail(shape: Shape, transposed: boolean): readonly (number | undefined)[] {
  const [m, n] = [shape[shape.length - 2], shape[shape.length - 1]];
  return transposed ? [n, m] : [m, n];
}

/**
 * The product of the last two axes; leading axes broadcast. b [k, n] (or [n, k] with `transposeB`) may have
 * any weight dtype: it is dequantized while it is packed.
 *
 * @throws {RangeError} when the inner sizes differ.
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { matmul } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const y = matmul(tensor([[1, 2]], { backend }), tensor([[3, 4], [5, 6]], { backend }), { transposeB: true });
 * assert.deepEqual([...await read(y)], [11, 17]);
 * ```
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const orientation = { transposeA: options.transposeA ?? false, transposeB: options.transposeB ?? false };
  // A stack of rows times one matrix is one tall product.
  if (b.shape.length === 2 && a.shape.length !== 2 && !orientation.transposeA && a.shape.length > 0) {
    const rows = size(a.shape.slice(0, -1));
    const flat = matmul(reshape(a, [rows, a.shape[a.shape.length - 1]!]), b, options);
    return reshape(flat, [...a.shape.slice(0, -1), flat.shape[1]!]);
  }
  const rounds = options.roundA === true && orientation.transposeB && !orientation.transposeA &&
    isGguf(b.dtype) && a.shape.length === 2 && b.shape.length === 2 &&
    a.backend.matmulRounded !== undefined &&
    !isTracked(a) && !isTracked(b);
  return rounds ? roundedOp([a, b], {}) : matmulOp([a, b], orientation);
}

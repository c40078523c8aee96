/** A matrix product plus a low-rank term in the same pass: what a LoRA layer computes. */
import { defineOp, type Op, showShape, size, type Tensor } from "../tensor/mod.ts";
import { add } from "./binary.ts";
import { matmul } from "./matmul.ts";
import { reshape } from "./movement.ts";
import { rangeError } from "../errors/error.ts";

interface Options {
  readonly transposeB: boolean;
}

const plusOp: Op<Options> = defineOp({
  name: "matmulPlus",
  shape: ([a, b, c, d], { transposeB }) => {
    const [m, k] = a!.shape;
    const [rows, columns] = b!.shape;
    const [l, n] = transposeB ? [columns, rows] : [rows, columns];
    if (k !== l || c!.shape[0] !== m || d!.shape[0] !== n || c!.shape[1] !== d!.shape[1]) {
      const b_ = `${showShape(b!.shape)}${transposeB ? "ᵀ" : ""}`;
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot add ${showShape(c!.shape)} by ${showShape(d!.shape)}ᵀ to ${showShape(a!.shape)} by ${b_}: ` +
          "inner or outer sizes differ",
      );
    }
    return [[m!, n!]];
  },
  run: (backend, [a, b, c, d], [y], { transposeB }) =>
    backend.matmulPlus!(a!, b!, { transposeA: false, transposeB }, c!, d!, y!),
  vjp: ([a, b, c, d], _, { transposeB }, needs) => ({
    saved: [b!, a!, d!, c!].filter((_, i) => needs[i]),
    pull: (g) => [
      needs[0] ? matmul(g, b!, { transposeB: !transposeB }) : undefined,
      needs[1]
        ? transposeB ? matmul(g, a!, { transposeA: true }) : matmul(a!, g, { transposeA: true })
        : undefined,
      needs[2] ? matmul(g, d!) : undefined,
      needs[3] ? matmul(g, c!, { transposeA: true }) : undefined,
    ],
  }),
});

/**
 * a · b + c · dᵀ, with a [..., k], b [k, n] (or [n, k] with `transposeB`) of any weight dtype, c [..., r] and d [n, r]. One
 * kernel where the backend has it, else two products and a sum.
 *
 * @throws {RangeError} when the sizes do not fit.
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { matmulPlus } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const of = (rows: number[][]) => tensor(rows, { backend });
 * const backend = reference();
 * const y = matmulPlus(of([[1, 2]]), of([[3, 4], [5, 6]]), of([[10]]), of([[1], [2]]), { transposeB: true });
 * assert.deepEqual([...await read(y)], [11 + 10, 17 + 20]);
 * ```
 */
export function matmulPlus(
  a: Tensor,
  b: Tensor,
  c: Tensor,
  d: Tensor,
  { transposeB = false }: { readonly transposeB?: boolean } = {},
): Tensor {
  if (a.backend.matmulPlus === undefined) {
    return add(matmul(a, b, { transposeB }), matmul(c, d, { transposeB: true }));
  }
  const lead = a.shape.slice(0, -1);
  const [flatA, flatC] = [a, c].map((t) => reshape(t, [size(lead), t.shape.at(-1)!]));
  const flat = plusOp([flatA!, b, flatC!, d], { transposeB });
  return reshape(flat, [...lead, flat.shape[1]!]);
}

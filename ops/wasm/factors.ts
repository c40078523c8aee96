/** Factorisations and order statistics: the kernels of `crate/src/linalg.rs`. */
import type { Backend, Operand } from "../../tensor/backend.ts";
import { bitsOf } from "../../tensor/bits.ts";
import { showShape, size } from "../../tensor/shape.ts";
import type { Context } from "./context.ts";
import { rangeError } from "../../errors/error.ts";

/** The kernels of this file. */
export type FactorKernels = Required<Pick<Backend, "qr" | "svd" | "orderStatistic">>;

/** Factorisations. */
export function factorKernels({ kernels, at }: Context): FactorKernels {
  return {
    qr(x: Operand, q: Operand, r: Operand): void {
      const [m, n] = x.shape as [number, number];
      kernels().qr(at(x), m, n, at(q), at(r));
    },
    svd(x: Operand, u: Operand, s: Operand, vt: Operand): void {
      const [m, n] = x.shape as [number, number];
      if (kernels().svd(at(x), m, n, at(u), at(s), at(vt)) !== 0) {
        throw rangeError(
          "NOT_FINITE",
          `Cannot svd ${showShape(x.shape)}: it has an entry that is not finite`,
        );
      }
    },
    orderStatistic(x: Operand, rank: number, out: Operand): void {
      kernels().fill32(bitsOf(kernels().order_statistic(at(x), size(x.shape), rank)), at(out), 1);
    },
  };
}

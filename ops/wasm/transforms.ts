/** The Walsh–Hadamard transform and Fastfood's random part. */
import type { Backend, FastfoodShape, Operand } from "../../tensor/backend.ts";
import { rowsAndWidth } from "../../tensor/shape.ts";
import type { Context } from "./context.ts";

/** The kernels of this file. */
export type TransformKernels = Required<Pick<Backend, "walshHadamard" | "fastfood" | "fastfoodTranspose">>;

/** The crate's `PIECE`: rows up to this length need no scratch memory. */
const PIECE = 4096;

/** Transforms. */
export function transformKernels(context: Context): TransformKernels {
  const { kernels, at } = context;
  const shapeOf = (table: Operand, { block, size, gaussian, mixing }: FastfoodShape) =>
    [table.shape[1]!, block, size, gaussian.a, gaussian.b, context.words(mixing)] as const;
  const working = <T>(block: number, tables: number, f: (work: number) => T): T =>
    block > PIECE ? context.floats(block + tables, f) : f(0);
  return {
    walshHadamard(x, out) {
      const { rows, width } = rowsAndWidth(x.shape);
      kernels().walsh_hadamard(at(x), rows, width, at(out));
    },
    fastfood: (t, shape, out) =>
      working(
        shape.block,
        0,
        (work) => kernels().fastfood(at(t), ...shapeOf(t, shape), work, at(out)),
      ),
    fastfoodTranspose(g, shape, out) {
      const width = out.shape[1]!;
      const tables = shape.block > PIECE ? width * (kernels().collectors(width, shape.block) >>> 0) : 0;
      working(
        shape.block,
        tables,
        (work) => kernels().fastfood_transpose(at(g), ...shapeOf(out, shape), work, at(out)),
      );
    },
  };
}

/**
 * RandLoRA's random bases, with exactly the values that PEFT draws from a seed: uniform in bf16 (which PEFT
 * uses wherever the machine supports it), or −1, 0 and 1; then divided by their standard deviation.
 */
import { type Backend, type Projections, tensor } from "../../core/mod.ts";
import { mersenneTwister, roundToBf16, torchUniform, torchUniformBf16 } from "../../numerics/torch_random.ts";

/**
 * A [r, min], then B [max, n, r], from one stream.
 *
 * @param bases Uniform in ±1/√columns, or one in 3, or one in √min, nonzero.
 */
export function randomBases(
  shapes: { readonly a: readonly [number, number]; readonly b: readonly [number, number, number] },
  { bases = "uniform", projectionSeed = 0 }: {
    readonly bases?: "uniform" | "sparse" | "verySparse";
    readonly projectionSeed?: number;
  },
  backend: Backend,
): Projections {
  const next = mersenneTwister(projectionSeed);
  const [max, n, r] = shapes.b;
  if (bases === "uniform") {
    const draw = (rows: number, columns: number): Float32Array => {
      const bound = 1 / Math.sqrt(columns);
      return torchUniformBf16(next, rows * columns, -bound, bound);
    };
    const a = draw(...shapes.a);
    const pieces = Array.from({ length: n }, () => draw(max, r)); // drawn one after the other, concatenated in B
    const b = new Float32Array(max * n * r);
    pieces.forEach((piece, j) => {
      for (let row = 0; row < max; row++) b.set(piece.subarray(row * r, (row + 1) * r), (row * n + j) * r);
    });
    const divided = (values: Float32Array): Float32Array => {
      const deviation = roundToBf16(deviationOf(values));
      return values.map((x) => roundToBf16(x / deviation));
    };
    return {
      a: tensor(divided(a), { backend, shape: shapes.a }),
      b: tensor(divided(b), { backend, shape: shapes.b }),
    };
  }
  const share = 1 / (2 * (bases === "sparse" ? 3 : Math.sqrt(shapes.a[1])));
  const draw = (shape: readonly number[]) => {
    const signs = torchUniform(next, shape.reduce((p, q) => p * q), 0, 1)
      .map((u) => u < share ? -1 : u > 1 - share ? 1 : 0);
    const deviation = Math.fround(deviationOf(signs));
    return tensor(signs.map((x) => x / deviation), { backend, shape });
  };
  return { a: draw(shapes.a), b: draw(shapes.b) };
}

/** √(Σ (x − mean)² / (n − 1)). */
function deviationOf(values: Float32Array): number {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) * (x - mean), 0) / (values.length - 1));
}

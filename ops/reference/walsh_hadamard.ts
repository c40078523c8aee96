/** The Walsh–Hadamard transform, in f64: log₂ K passes of sums and differences. */
import type { Operand } from "../../tensor/backend.ts";
import { rowsAndWidth } from "../../tensor/shape.ts";
import { floats, numbers } from "./storage.ts";

/** y_i = Σ_j (−1)^(bits of i and j) x_j over the last axis. */
export function walshHadamard(x: Operand, out: Operand): void {
  const { rows, width } = rowsAndWidth(x.shape);
  const y = Float64Array.from(numbers(x));
  for (let h = 1; h < width; h *= 2) {
    for (let i = 0; i < rows * width; i++) {
      if ((i & h) !== 0) continue;
      const [a, b] = [y[i]!, y[i + h]!];
      y[i] = a + b;
      y[i + h] = a - b;
    }
  }
  floats(out).set(y);
}

/** One AdamW step (arXiv 1711.05101), and the random stream. */
import type { AdamWOptions, Operand } from "../../tensor/backend.ts";
import { bitsAt, type Key } from "../../tensor/key.ts";
import { floats, numbers, write } from "./storage.ts";
import { pow } from "../../elementary/power.ts";

/**
 * m' = β₁ m + (1 − β₁) g, v' = β₂ v + (1 − β₂) g², p' = (1 − η λ) p − η · (m' / (1 − β₁ᵗ)) / (√(v' / (1 − β₂ᵗ)) + ε).
 * Parameter and moments may be of any dtype that can be encoded.
 */
export function adamw(
  parameter: Operand,
  gradient: Operand,
  first: Operand,
  second: Operand,
  options: AdamWOptions,
  nextParameter: Operand,
  nextFirst: Operand,
  nextSecond: Operand,
): void {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = options;
  const [p, g, m, v] = [numbers(parameter), numbers(gradient), numbers(first), numbers(second)];
  const [correct1, correct2] = [1 - pow(beta1, step), 1 - pow(beta2, step)];
  const means = Float64Array.from(m, (x, i) => beta1 * x + (1 - beta1) * g[i]!);
  const squares = Float64Array.from(v, (x, i) => beta2 * x + (1 - beta2) * g[i]! * g[i]!);
  const moved = Float64Array.from(p, (x, i) => {
    const direction = means[i]! / correct1 / (Math.sqrt(squares[i]! / correct2) + epsilon);
    return x * (1 - learningRate * weightDecay) - learningRate * direction;
  });
  write(nextParameter, moved);
  write(nextFirst, means);
  write(nextSecond, squares);
}

/** out[i] = (word i of the key's stream, top 24 bits) · 2⁻²⁴. */
export function uniform(key: Key, out: Operand): void {
  const to = floats(out);
  for (let i = 0; i < to.length; i++) to[i] = (bitsAt(key, i) >>> 8) * 2 ** -24;
}

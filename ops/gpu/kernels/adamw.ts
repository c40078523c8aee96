/**
 * One AdamW step (arXiv 1711.05101): m' = β₁ m + (1 − β₁) g, v' = β₂ v + (1 − β₂) g², p' = keep · p − rate ·
 * m' / (√(v' · c) + ε) with keep = 1 − η λ, rate = η / (1 − β₁ᵗ), c = 1 / (1 − β₂ᵗ). Four elements per
 * invocation. Checked against the reference by tests/ops/gpu/rows.test.ts.
 */
import { EACH, type Kernel } from "../kernel.ts";

/** The step. */
export const adamwKernel: Kernel = {
  name: "adamw",
  args: {
    ...{ n: "u32", beta1: "f32", beta2: "f32", rest1: "f32", rest2: "f32" } as const,
    ...{ keep: "f32", rate: "f32", correct2: "f32", epsilon: "f32" } as const,
  },
  reads: { p: "vec4<f32>", g: "vec4<f32>", m: "vec4<f32>", v: "vec4<f32>" },
  writes: { next_p: "vec4<f32>", next_m: "vec4<f32>", next_v: "vec4<f32>" },
  code: `
fn element(i: u32) {
  let gradient = g[i];
  let mean = args.beta1 * m[i] + args.rest1 * gradient;
  let square = args.beta2 * v[i] + args.rest2 * gradient * gradient;
  next_p[i] = args.keep * p[i] - args.rate * mean / (sqrt(square * args.correct2) + args.epsilon);
  next_m[i] = mean;
  next_v[i] = square;
}
${EACH}`,
};

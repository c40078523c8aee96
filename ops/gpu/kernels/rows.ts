/**
 * Kernels of rows: softmax, normalisation, cross-entropy, their derivatives, argmax. One workgroup per row:
 * its invocations stride over the row and combine their results (`lanes.ts`). Checked against the reference
 * by tests/ops/gpu/rows.test.ts.
 */
import { MARK } from "../checks.ts";
import type { Kernel } from "../kernel.ts";
import { EXP_LOG, SPECIAL } from "./math.ts";

/** log Σ exp of a row of x; −∞ when all are, NaN when one is. */
const LOG_SUM_EXP = `${EXP_LOG}
fn log_sum_exp(start: u32, width: u32, lane: u32) -> f32 {
  var most = -infinity();
  for (var j = lane; j < width; j += LANES) { most = larger(most, x[start + j]); }
  most = largest(lane, most);
  var sum = 0.0;
  if (!is_infinite(most)) {
    for (var j = lane; j < width; j += LANES) { sum += exp_(x[start + j] - most); }
  }
  sum = total(lane, sum);
  if (is_negative_infinity(most)) { return most; }
  if (is_infinite(most)) { return nan(); }
  return most + log_(sum);
}
`;

/** y = exp(x − log Σ exp x); a row of −∞ gives zeros. */
export const softmaxKernel: Kernel = {
  name: "softmax",
  args: { rows: "u32", width: "u32" },
  reads: { x: "f32" },
  writes: { y: "f32" },
  lanes: true,
  code: `${SPECIAL}${LOG_SUM_EXP}
fn row(r: u32, lane: u32) {
  let start = r * args.width;
  let sum = log_sum_exp(start, args.width, lane);
  for (var j = lane; j < args.width; j += LANES) {
    y[start + j] = select(exp_(x[start + j] - sum), 0.0, is_negative_infinity(sum));
  }
}
`,
};

/** dx = y ⊙ (g − Σ g ⊙ y). */
export const softmaxGradKernel: Kernel = {
  name: "softmaxGrad",
  args: { rows: "u32", width: "u32" },
  reads: { y: "f32", g: "f32" },
  writes: { dx: "f32" },
  lanes: true,
  code: `${SPECIAL}
fn row(r: u32, lane: u32) {
  let start = r * args.width;
  var dot = 0.0;
  for (var j = start + lane; j < start + args.width; j += LANES) { dot += g[j] * y[j]; }
  dot = total(lane, dot);
  for (var j = start + lane; j < start + args.width; j += LANES) { dx[j] = y[j] * (g[j] - dot); }
}
`,
};

/** y = x · inverse · weight, inverse = 1/√(mean x² + ε). Rows start at row `first` of `inverse`. */
export const rmsNormKernel: Kernel = {
  name: "rmsNorm",
  args: { rows: "u32", width: "u32", first: "u32", epsilon: "f32" },
  reads: { x: "f32", weight: "f32" },
  writes: { y: "f32", inverse: "f32" },
  lanes: true,
  code: `${SPECIAL}
fn row(r: u32, lane: u32) {
  let start = r * args.width;
  var squares = 0.0;
  for (var j = start + lane; j < start + args.width; j += LANES) { squares += x[j] * x[j]; }
  let factor = 1.0 / sqrt(total(lane, squares) / f32(args.width) + args.epsilon);
  if (lane == 0u) { inverse[args.first + r] = factor; }
  for (var j = lane; j < args.width; j += LANES) { y[start + j] = x[start + j] * factor * weight[j]; }
}
`,
};

/** dx = inverse · (w g − x · inverse² · mean(w g x)). */
export const rmsNormGradKernel: Kernel = {
  name: "rmsNormGrad",
  args: { rows: "u32", width: "u32", first: "u32" },
  reads: { x: "f32", weight: "f32", inverse: "f32", g: "f32" },
  writes: { dx: "f32" },
  lanes: true,
  code: `${SPECIAL}
fn row(r: u32, lane: u32) {
  let start = r * args.width;
  let factor = inverse[args.first + r];
  var dot = 0.0;
  for (var j = lane; j < args.width; j += LANES) { dot += weight[j] * g[start + j] * x[start + j]; }
  let slope = factor * factor * total(lane, dot) / f32(args.width);
  for (var j = lane; j < args.width; j += LANES) {
    dx[start + j] = factor * (weight[j] * g[start + j] - x[start + j] * slope);
  }
}
`,
};

/** y = (x − mean) · inverse · weight + bias, inverse = 1/√(variance + ε). */
export const layerNormKernel: Kernel = {
  name: "layerNorm",
  args: { rows: "u32", width: "u32", first: "u32", epsilon: "f32" },
  reads: { x: "f32", weight: "f32", bias: "f32" },
  writes: { y: "f32", mean: "f32", inverse: "f32" },
  lanes: true,
  code: `${SPECIAL}
fn row(r: u32, lane: u32) {
  let start = r * args.width;
  var sum = 0.0;
  for (var j = start + lane; j < start + args.width; j += LANES) { sum += x[j]; }
  let centre = total(lane, sum) / f32(args.width);
  var squares = 0.0;
  for (var j = start + lane; j < start + args.width; j += LANES) {
    let d = x[j] - centre;
    squares += d * d;
  }
  let factor = 1.0 / sqrt(total(lane, squares) / f32(args.width) + args.epsilon);
  if (lane == 0u) {
    mean[args.first + r] = centre;
    inverse[args.first + r] = factor;
  }
  for (var j = lane; j < args.width; j += LANES) {
    y[start + j] = (x[start + j] - centre) * factor * weight[j] + bias[j];
  }
}
`,
};

/** dx = inverse · (w g − mean(w g) − x̂ · mean(w g x̂)), x̂ = (x − mean) · inverse. */
export const layerNormGradKernel: Kernel = {
  name: "layerNormGrad",
  args: { rows: "u32", width: "u32", first: "u32" },
  reads: { x: "f32", weight: "f32", mean: "f32", inverse: "f32", g: "f32" },
  writes: { dx: "f32" },
  lanes: true,
  code: `${SPECIAL}
fn row(r: u32, lane: u32) {
  let start = r * args.width;
  let centre = mean[args.first + r];
  let factor = inverse[args.first + r];
  var sum = 0.0;
  var dot = 0.0;
  for (var j = lane; j < args.width; j += LANES) {
    let scaled = weight[j] * g[start + j];
    sum += scaled;
    dot += scaled * (x[start + j] - centre) * factor;
  }
  sum = total(lane, sum) / f32(args.width);
  dot = total(lane, dot) / f32(args.width);
  for (var j = lane; j < args.width; j += LANES) {
    let normal = (x[start + j] - centre) * factor;
    dx[start + j] = factor * (weight[j] * g[start + j] - sum - normal * dot);
  }
}
`,
};

/**
 * loss = lse − (1 − s) · logit[label] − s · mean(logits); label −100 gives 0, other labels out of range
 * record a mark.
 */
export const crossEntropyKernel: Kernel = {
  name: "crossEntropy",
  args: { rows: "u32", width: "u32", first: "u32", smoothing: "f32", slot: "u32" },
  reads: { x: "f32", labels: "i32" },
  writes: { loss: "f32", lse: "f32", marks: "atomic<u32>" },
  lanes: true,
  code: `${SPECIAL}${LOG_SUM_EXP}${MARK}
fn row(r: u32, lane: u32) {
  let start = r * args.width;
  let label = labels[args.first + r];
  let sum = log_sum_exp(start, args.width, lane);
  var mean = 0.0;
  // Without smoothing the mean must not enter: 0 times a logit of −∞ is NaN.
  if (args.smoothing != 0.0) {
    for (var j = start + lane; j < start + args.width; j += LANES) { mean += x[j]; }
    mean = args.smoothing * total(lane, mean) / f32(args.width);
  }
  if (lane != 0u) { return; }
  lse[args.first + r] = sum;
  var value = 0.0;
  if (label >= 0 && u32(label) < args.width) {
    value = sum - (1.0 - args.smoothing) * x[start + u32(label)] - mean;
  } else if (label != -100) {
    mark(args.first + r, args.width);
  }
  loss[args.first + r] = value;
}
`,
};

/** dlogits = g[row] · (softmax − (1 − s) · onehot − s/v) of the scores in `from`; rows with label −100 are 0. */
const crossEntropySlope = (from: "x" | "dx"): string =>
  `${SPECIAL}${EXP_LOG}
fn row(r: u32, lane: u32) {
  let start = r * args.width;
  let label = labels[args.first + r];
  let sum = lse[args.first + r];
  let upstream = g[args.first + r];
  for (var j = lane; j < args.width; j += LANES) {
    let hot = select(0.0, 1.0 - args.smoothing, i32(j) == label);
    let slope = upstream * (exp_(${from}[start + j] - sum) - hot - args.smoothing / f32(args.width));
    dx[start + j] = select(slope, 0.0, label == -100);
  }
}
`;

/** The derivative of the cross-entropy of x. */
export const crossEntropyGradKernel: Kernel = {
  name: "crossEntropyGrad",
  args: { rows: "u32", width: "u32", first: "u32", smoothing: "f32" },
  reads: { x: "f32", labels: "i32", lse: "f32", g: "f32" },
  writes: { dx: "f32" },
  lanes: true,
  code: crossEntropySlope("x"),
};

/** The same, overwriting the scores. */
export const crossEntropyGradInPlaceKernel: Kernel = {
  ...crossEntropyGradKernel,
  name: "crossEntropyGradInPlace",
  reads: { labels: "i32", lse: "f32", g: "f32" },
  code: crossEntropySlope("dx"),
};

/**
 * The index of the first largest element; compares like the reference, so a leading NaN is kept and others
 * are never chosen.
 */
export const argmaxKernel: Kernel = {
  name: "argmax",
  args: { rows: "u32", width: "u32", first: "u32" },
  reads: { x: "f32" },
  writes: { y: "u32" },
  lanes: true,
  code: `${SPECIAL}
var<workgroup> places: array<u32, LANES>;
fn row(r: u32, lane: u32) {
  let start = r * args.width;
  var best = min(lane, args.width - 1u);
  for (var j = lane; j < args.width; j += LANES) {
    if (x[start + j] > x[start + best] || (is_nan(x[start + best]) && best != 0u)) { best = j; }
  }
  places[lane] = best;
  workgroupBarrier();
  for (var step = LANES / 2u; step > 0u; step >>= 1u) {
    if (lane < step) {
      let one = places[lane];
      let two = places[lane + step];
      let a = x[start + one];
      let b = x[start + two];
      let better = !is_nan(b) && (is_nan(a) || b > a || (b == a && two < one));
      if (better) { places[lane] = two; }
    }
    workgroupBarrier();
  }
  if (lane == 0u) { y[args.first + r] = select(places[0], 0u, is_nan(x[start])); }
}
`,
};

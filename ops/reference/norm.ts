/** Normalisation over the last axis, its derivatives in x, and rotary positions. */
import type { Operand } from "../../tensor/backend.ts";
import { rowsAndWidth } from "../../tensor/shape.ts";
import { floats, numbers } from "./storage.ts";

/** y = x · inverse · weight, inverse = 1/√(mean x² + ε). */
export function rmsNorm(x: Operand, weight: Operand, epsilon: number, out: Operand, inverse: Operand): void {
  const { rows, width } = rowsAndWidth(x.shape);
  const [from, scale, to, inverses] = [numbers(x), numbers(weight), floats(out), floats(inverse)];
  for (let row = 0; row < rows; row++) {
    const start = row * width;
    let squares = 0;
    for (let j = 0; j < width; j++) squares += from[start + j]! * from[start + j]!;
    const factor = 1 / Math.sqrt(squares / width + epsilon);
    inverses[row] = factor;
    for (let j = 0; j < width; j++) to[start + j] = from[start + j]! * factor * scale[j]!;
  }
}

/** dx = inverse · (w g − x · inverse² · mean(w g x)). */
export function rmsNormGrad(x: Operand, weight: Operand, inverse: Operand, g: Operand, dx: Operand): void {
  const { rows, width } = rowsAndWidth(x.shape);
  const [from, scale, inverses] = [numbers(x), numbers(weight), numbers(inverse)];
  const [upstream, to] = [numbers(g), floats(dx)];
  for (let row = 0; row < rows; row++) {
    const start = row * width;
    const factor = inverses[row]!;
    let dot = 0;
    for (let j = 0; j < width; j++) dot += scale[j]! * upstream[start + j]! * from[start + j]!;
    for (let j = 0; j < width; j++) {
      const at = start + j;
      to[at] = factor * (scale[j]! * upstream[at]! - from[at]! * factor * factor * dot / width);
    }
  }
}

/** y = (x − mean) · inverse · weight + bias, inverse = 1/√(variance + ε). */
export function layerNorm(
  x: Operand,
  weight: Operand,
  bias: Operand,
  epsilon: number,
  out: Operand,
  mean: Operand,
  inverse: Operand,
): void {
  const { rows, width } = rowsAndWidth(x.shape);
  const [from, scale, shift] = [numbers(x), numbers(weight), numbers(bias)];
  const [to, means, inverses] = [floats(out), floats(mean), floats(inverse)];
  for (let row = 0; row < rows; row++) {
    const start = row * width;
    let sum = 0;
    for (let j = 0; j < width; j++) sum += from[start + j]!;
    const centre = sum / width;
    let squares = 0;
    for (let j = 0; j < width; j++) squares += (from[start + j]! - centre) * (from[start + j]! - centre);
    const factor = 1 / Math.sqrt(squares / width + epsilon);
    means[row] = centre;
    inverses[row] = factor;
    for (let j = 0; j < width; j++) {
      to[start + j] = (from[start + j]! - centre) * factor * scale[j]! + shift[j]!;
    }
  }
}

/** dx = inverse · (w g − mean(w g) − x̂ · mean(w g x̂)), x̂ = (x − mean) · inverse. */
export function layerNormGrad(
  x: Operand,
  weight: Operand,
  mean: Operand,
  inverse: Operand,
  g: Operand,
  dx: Operand,
): void {
  const { rows, width } = rowsAndWidth(x.shape);
  const [from, scale, means, inverses] = [numbers(x), numbers(weight), numbers(mean), numbers(inverse)];
  const [upstream, to] = [numbers(g), floats(dx)];
  for (let row = 0; row < rows; row++) {
    const start = row * width;
    const [centre, factor] = [means[row]!, inverses[row]!];
    let sum = 0;
    let dot = 0;
    for (let j = 0; j < width; j++) {
      const scaled = scale[j]! * upstream[start + j]!;
      sum += scaled;
      dot += scaled * (from[start + j]! - centre) * factor;
    }
    for (let j = 0; j < width; j++) {
      const at = start + j;
      const normal = (from[at]! - centre) * factor;
      to[at] = factor * (scale[j]! * upstream[at]! - sum / width - normal * dot / width);
    }
  }
}

/** Rotates the pairs (j, j + d/2) of every head by the angle of its token; `inverse` by minus that. */
export function rope(x: Operand, cos: Operand, sin: Operand, inverse: boolean, out: Operand): void {
  const [b, t, h, d] = x.shape as [number, number, number, number];
  const half = d / 2;
  const [from, cosines, sines, to] = [numbers(x), numbers(cos), numbers(sin), floats(out)];
  const shared = cos.shape[0] === 1;
  for (let row = 0; row < b * t * h; row++) {
    const token = Math.floor(row / h); // batch · t + token
    const angles = (shared ? token % t : token) * half;
    for (let j = 0; j < half; j++) {
      const c = cosines[angles + j]!;
      const s = inverse ? -sines[angles + j]! : sines[angles + j]!;
      const [first, second] = [from[row * d + j]!, from[row * d + j + half]!];
      to[row * d + j] = first * c - second * s;
      to[row * d + j + half] = second * c + first * s;
    }
  }
}

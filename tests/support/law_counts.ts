/** What entries of laws are made of: methods that need no model, and sums over the sizes of tiny models. */
import { type Counts, type Method, type Model, weightLeaves } from "../../core/mod.ts";
import type { Made } from "./subject.ts";

/** The width of tiny models. */
export const WIDTH = 12;

/** Their blocks. */
export const LAYERS = 2;

/** A method that is made before any model. */
export const just = (method: Method) => (): Made => ({ method });

/** The sum of numbers. */
export const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** So many numbers beside the base's, all of which train. */
export const added = (n: number): Partial<Counts> => ({ added: n, trainable: n, changed: 0 });

/** So many of the base's numbers, all of which train. */
export const changedOnly = (n: number): Partial<Counts> => ({
  added: 0,
  trainable: n,
  changed: n,
  stored: n,
});

/** 2 r d + r + d for one bottleneck. */
export const bottleneck = (r: number): number => 2 * r * WIDTH + r + WIDTH;

/** 2 n d for the key and value heads of each attention. */
export const prefixRows = ({ spec }: Model, n: number): number =>
  sum(spec.attentions.map((place) => 2 * n * place.keyValueHeads * place.headDim));

/** Elements of the leaves whose paths a pattern matches. */
export function elements(model: Model, pattern: RegExp): number {
  return sum(weightLeaves(model.weights).filter(([path]) => pattern.test(path)).map(([, t]) => t.size));
}

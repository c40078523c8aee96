/** The laws of methods of linear layers: where they go, and counts that are sums over those layers. */
import {
  chooseTargets,
  type Counts,
  type MatrixPlace,
  type Method,
  type Model,
  sizesOf,
  type TargetOptions,
} from "../../core/mod.ts";
import type { MethodExpectations } from "./method_expectations.ts";
import { methodLaws } from "./method_laws.ts";

/** Every linear layer. */
export const ALL: { readonly targets: "all-linear" } = { targets: "all-linear" };

/** The token table. */
export const TABLE: TargetOptions = {
  targets: (place) => place.kind === "embedding" && place.role === "token",
};

/** The token table and the head. */
export const ENDS: TargetOptions = {
  targets: (place) => place.kind === "embedding" && place.role === "token" || place.kind === "head",
};

/** The sum over the targeted layers of what one layer trains. */
export function each(
  options: TargetOptions,
  f: (inFeatures: number, outFeatures: number, place: MatrixPlace) => number,
): (model: Model) => Partial<Counts> & { readonly trainable: number } {
  return ({ spec }) => ({
    trainable: chooseTargets(spec, options)
      .reduce((n, place) => n + f(sizesOf(place).inFeatures, sizesOf(place).outFeatures, place), 0),
  });
}

/** The laws of a method that leaves a model as it is at first, merges and unmerges, unless `rest` says otherwise. */
export function laws(
  title: string,
  method: Method,
  counts: MethodExpectations["counts"],
  rest: Partial<MethodExpectations> = {},
): void {
  methodLaws(title, {
    method: () => ({ method }),
    atInit: "base",
    merges: "and unmerges",
    counts,
    runs: 2,
    ...rest,
  });
}

/** Sums over the linear layers of the blocks of a number made of outputs, inputs and bias. */
export function eachOfBlocks(
  model: Model,
  n: (outFeatures: number, inFeatures: number, bias: boolean) => number,
): Partial<Counts> {
  const trainable = model.spec.linears.filter(({ layer }) => layer !== undefined)
    .reduce((sum, { outFeatures, inFeatures, bias }) => sum + n(outFeatures, inFeatures, bias), 0);
  return { added: trainable, trainable };
}

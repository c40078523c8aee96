/**
 * PSOFT's subspaces for a run: their default size, computed from the weights, or blank for counting by
 * shapes.
 */
import { chooseTargets, type Model, sizesOf, type TargetOptions } from "../core/mod.ts";
import {
  type PrincipalSubspace,
  principalSubspace,
  type PrincipalSubspaceOptions,
  type PsoftOptions,
} from "../methods/mod.ts";
import { zeros } from "../ops/mod.ts";

/** Options of both, together. */
export type PsoftStart = PrincipalSubspaceOptions & Omit<PsoftOptions, "subspace">;

/** PEFT's rank, or at most that of the smallest of the matrices. */
export function psoftRank({ spec }: Model, targets: TargetOptions): number {
  const sizes = chooseTargets(spec, targets).map(sizesOf).flatMap((s) => [s.inFeatures, s.outFeatures]);
  return Math.min(32, ...sizes);
}

/** The method's options with the subspaces of the weights. */
export async function psoftOptions(model: Model, start: PsoftStart): Promise<PsoftOptions> {
  const { rotation, vectors, dropout, ...where } = start;
  return { ...own({ rotation, vectors, dropout }), subspace: await principalSubspace(model, where) };
}

/** The same from shapes alone. */
export function blankPsoftOptions(model: Model, start: PsoftStart): PsoftOptions {
  const { rotation, vectors, dropout, rank = psoftRank(model, start), ...where } = start;
  const subspace: PrincipalSubspace = Object.fromEntries(
    chooseTargets(model.spec, where).map((
      place,
    ) => [place.path, zeros([rank, sizesOf(place).inFeatures], model.backend)]),
  );
  return { ...own({ rotation, vectors, dropout }), subspace };
}

/** Only the given options. */
const own = (
  options: { readonly [name in keyof Omit<PsoftOptions, "subspace">]: PsoftOptions[name] | undefined },
): Omit<PsoftOptions, "subspace"> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

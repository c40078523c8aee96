/** The base's weights as a side network reads them: by path, untracked, in f32. */
import {
  type BlockPlace,
  decoded,
  type LinearPlace,
  nest,
  type NormPlace,
  type SideCall,
  type Spec,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";

/** The norms after the last blocks, at most one per stack: those that `call.finish` reads. */
export function lastNorms(spec: Spec): readonly NormPlace[] {
  return spec.norms.filter(({ layer, position = "end" }) => layer === undefined && position === "end");
}

/**
 * The linear layers and norms of which a side network has its own: those of the blocks, and the last norms.
 */
export function sidePlaces(
  spec: Spec,
): { readonly linears: readonly LinearPlace[]; readonly norms: readonly NormPlace[] } {
  return {
    linears: spec.linears.filter(({ layer }) => layer !== undefined),
    norms: [...spec.norms.filter(({ layer }) => layer !== undefined), ...lastNorms(spec)],
  };
}

/** The last norms' weights under the model's names, for `call.finish`. */
export function readLastNorms(call: SideCall, norms: readonly NormPlace[]): Tree {
  return nest(
    norms.flatMap(({ path, bias }) =>
      leafNames(bias).map((leaf) => [`${path}.${leaf}`, read(call, `${path}.${leaf}`)] as const)
    ),
  ) as Tree;
}

/** The leaves of a block by their path below it. */
export function blockLeaves(spec: Spec, { path, stack, layer }: BlockPlace): readonly string[] {
  const here = (place: { readonly stack: string; readonly layer?: number }): boolean =>
    place.stack === stack && place.layer === layer;
  return [...spec.linears.filter(here), ...spec.norms.filter(here)].flatMap((place) =>
    leafNames(place.bias).map((leaf) => `${place.path.slice(path.length + 1)}.${leaf}`)
  );
}

/** A weight of the base in f32. */
export function read(call: SideCall, path: string): Tensor {
  return decoded(call.weight(path));
}

const leafNames = (bias: boolean): readonly string[] => bias ? ["weight", "bias"] : ["weight"];

/** The places that several adapters share, for AdapterFusion. */
import type { Edit, HiddenEdit, Spec } from "../../core/mod.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** A place and each adapter's edit there, in the adapters' order. */
export interface Fused {
  readonly path: string;
  readonly width: number;
  readonly edits: readonly HiddenEdit[];
}

/** Places with the edits of all adapters there. @throws {TypeError | RangeError} where they have no such places. */
export function fusedPlaces(
  given: readonly (readonly [name: string, edits: readonly Edit[]])[],
  spec: Spec,
): readonly Fused[] {
  const byName = given.map(([name, edits]) => {
    const other = edits.find((edit) => edit.kind !== "hidden");
    if (other !== undefined) {
      throw typeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot fuse "${name}": its edit at "${other.path}" is a ${other.kind}, but only what adds to hidden states can be fused`,
      );
    }
    const places = new Map((edits as readonly HiddenEdit[]).map((edit) => [edit.path, edit]));
    if (places.size < edits.length) {
      throw typeError("METHOD_DOES_NOT_FIT", `Cannot fuse "${name}": it has two edits at one place`);
    }
    return [name, places] as const;
  });
  const [first, ...rest] = byName;
  for (const [name, places] of rest) {
    const odd = [...places.keys(), ...first![1].keys()].find((path) =>
      !(places.has(path) && first![1].has(path))
    );
    if (odd !== undefined) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot fuse "${first![0]}" and "${name}": only one of them stands at "${odd}"`,
      );
    }
  }
  return [...first![1].keys()].map((path) => ({
    path,
    width: widthAt(path, spec),
    edits: byName.map(([, places]) => places.get(path)!),
  }));
}

function widthAt(path: string, spec: Spec): number {
  const place = [...spec.sublayers, ...spec.blocks].find((place) => place.path === path);
  if (place === undefined) {
    throw rangeError("METHOD_DOES_NOT_FIT", `Cannot fuse adapters at "${path}": the model has no part there`);
  }
  return place.width;
}

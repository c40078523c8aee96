/** What Intrinsic SAID moves: every weight and bias, each with the layer that shares a λ. */
import type { Place, Spec } from "../../core/mod.ts";

export interface SaidLeaf {
  readonly path: string;
  /** `<stack>.<number of the block>`, `<stack>.entrance` or `<stack>.end`. */
  readonly layer: string;
}

/** Every weight and bias of the places; a tied head has none of its own. */
export function saidLeaves(spec: Spec): readonly SaidLeaf[] {
  const of = (
    { path, stack, layer }: Pick<Place, "path" | "stack" | "layer">,
    outside: "entrance" | "end",
    leaves: readonly string[],
  ): readonly SaidLeaf[] =>
    leaves.map((leaf) => ({ path: `${path}.${leaf}`, layer: `${stack}.${layer ?? outside}` }));
  const all = (bias: boolean): readonly string[] => bias ? ["weight", "bias"] : ["weight"];
  return [
    ...spec.embeddings.flatMap((place) => of(place, "entrance", ["weight"])),
    ...spec.linears.flatMap((place) => of(place, "end", all(place.bias))),
    ...spec.norms.flatMap((place) =>
      of(place, place.position === "entrance" ? "entrance" : "end", all(place.bias))
    ),
    ...spec.heads.flatMap((place) =>
      of(place, "end", all(place.bias).filter((leaf) => leaf === "bias" || place.tiedTo === undefined))
    ),
  ];
}

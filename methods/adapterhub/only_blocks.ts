/** The blocks that a configuration keeps, as a selector of places. */
import type { BlockPlace, PlaceSelector, Spec } from "../../core/mod.ts";

/** Selects what is in the blocks that a predicate keeps, and what is in no block. */
export function onlyBlocks(
  { blocks }: Spec,
  keeps: (place: BlockPlace) => boolean,
): PlaceSelector {
  const kept = blocks.filter(keeps);
  return {
    any: [
      { not: { layers: [0] } },
      ...kept.map(({ stack, layer }): PlaceSelector => ({ layers: [layer!, layer! + 1], stack })),
    ],
  };
}

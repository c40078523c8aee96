/**
 * Shared by the files on LoRA and (IA)³ in AdapterHub folders: keys, factors, and scaling of stored vectors.
 */
import type { LinearPlace } from "../../core/mod.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import { multiply } from "../../ops/mod.ts";
import { bareKey, type Both } from "./layout.ts";

/** The prefix of the names of a layer's tensors. */
export const keyOf = (place: LinearPlace, name: string): string => `${bareKey(place.path)}.loras.${name}`;

/** The α that gives the folder's factor; undefined with a gate. */
export const alphaOf = (fields: AdaptersFields): number =>
  (fields["use_gating"] ? fields["r"] : fields["alpha"]) as number;

/** Whether the fields are VeRA's. */
export const isVera = (fields: AdaptersFields): boolean =>
  typeof fields["vera_d"] === "number" || typeof fields["vera_b"] === "number";

/** The library multiplies the stored vector by α. */
export function scaledBy(alpha: number, layout: Both): Both {
  if (alpha === 1) return layout;
  return {
    reads: layout.reads.map((r) => ({ ...r, read: (t) => multiply(r.read(t), alpha) })),
    writes: layout.writes.map((w) => ({
      ...w,
      made: `divided by α = ${alpha}`,
      write: (t) => multiply(w.write(t), 1 / alpha),
    })),
  };
}

/** The targets of methods that rotate a layer's input. */
import {
  chooseTargets,
  type HeadPlace,
  type LinearPlace,
  type Spec,
  type TargetOptions,
} from "../../core/mod.ts";

/**
 * The layers that options choose; for new adapters by `freshTargets`.
 *
 * @throws {RangeError} when one is an embedding, which has no input to rotate.
 */
export function rotatedPlaces(
  method: string,
  spec: Spec,
  options: TargetOptions,
  choose: typeof chooseTargets = chooseTargets,
): readonly (LinearPlace | HeadPlace)[] {
  return choose(spec, options).map((place) => {
    if (place.kind === "embedding") {
      throw new RangeError(
        `Cannot put ${method} on the embedding "${place.path}": it has no input to rotate`,
      );
    }
    return place;
  });
}

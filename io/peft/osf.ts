/**
 * Parameters missing in OSF's folders: the initial values of the trained vectors, recomputed from the base.
 */
import { type MatrixPlace, type Model, nest, type Tensor, type Tree } from "../../core/mod.ts";
import type { OsfOptions } from "../../methods/structured/osf.ts";
import { splitOf } from "../../methods/structured/singular_split.ts";

/** The frozen parameters of layers, under their paths. */
export async function startsOfOsf(
  model: Model,
  places: readonly MatrixPlace[],
  options: OsfOptions,
): Promise<Tree> {
  const split = await splitOf(model, places, options);
  return nest(
    Object.entries(split).flatMap(([path, { u, s, v, high }]) =>
      Object.entries({ u, s, v, ...high.u && { "high.u": high.u }, ...high.v && { "high.v": high.v } })
        .map(([name, t]): readonly [string, Tensor] => [`${path}.frozen.${name}`, t])
    ),
  ) as Tree;
}

/** Composition of maps, and the shuffle of chunks between which butterfly factors are applied. */
import type { Tensor } from "../../tensor/mod.ts";
import { gatherRows, identity, permute, reshape, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";
import { leading } from "./cheapest.ts";

/**
 * The maps in the order in which they are applied: x → maps[0] → maps[1] → ….
 *
 * @example
 * ```ts
 * import { chain, dense, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const twice = dense(tensor([[2, 0], [0, 2]], { backend }));
 * const sum = dense(tensor([[1, 1]], { backend }));
 * assert.deepEqual([...await read(chain([twice, sum]).weight())], [2, 2]); // first doubled, then added
 * ```
 */
export function chain(maps: readonly LinearMap[]): LinearMap {
  const [first, last] = [maps[0]!, maps[maps.length - 1]!];
  const rest = (x: Tensor): Tensor => maps.slice(1).reduce((y, map) => map.apply(y), x);
  return {
    inFeatures: first.inFeatures,
    outFeatures: last.outFeatures,
    tensors: maps.flatMap((map) => map.tensors),
    cost: maps.reduce((n, map) => n + map.cost, 0),
    apply: (x) => rest(first.apply(x)),
    weight: () => transpose(rest(transpose(first.weight()))),
    columns: (ids) => rest(first.columns(ids)),
  };
}

/**
 * Within each piece of `size` inputs, permutes chunks of `chunk` inputs: "gather" puts the even ones before
 * the odd ones, "interleave" is its inverse. The block butterfly's permutation (arXiv 2311.06243, section 4).
 *
 * @example
 * ```ts
 * import { chunkShuffle, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const x = tensor([[0, 1, 2, 3]], { backend: reference() });
 * const gather = chunkShuffle(4, 4, 1, "gather", x);
 * assert.deepEqual([...await read(gather.apply(x))], [0, 2, 1, 3]);
 * const back = chunkShuffle(4, 4, 1, "interleave", x);
 * assert.deepEqual([...await read(back.apply(gather.apply(x)))], [0, 1, 2, 3]);
 * ```
 */
export function chunkShuffle(
  width: number,
  size: number,
  chunk: number,
  direction: "gather" | "interleave",
  like: Tensor,
): LinearMap {
  const half = size / chunk / 2;
  const axes = direction === "gather" ? [half, 2] : [2, half];
  const apply = (x: Tensor): Tensor => {
    const split = reshape(x, [-1, width / size, ...axes, chunk]);
    return reshape(permute(split, [0, 1, 3, 2, 4]), [...leading(x), width]);
  };
  const rows = (): Tensor => apply(identity(width, like.backend));
  return {
    inFeatures: width,
    outFeatures: width,
    tensors: [],
    cost: 0,
    apply,
    weight: () => transpose(rows()),
    columns: (ids) => gatherRows(rows(), ids),
  };
}

/**
 * Sums of the gradients of chunks in one fixed tree: that of n chunks is that of the first 2ᵏ, the largest power of two below n,
 * plus that of the others. Floating-point sums depend on their order; this order depends on the number of chunks alone, so that
 * processes that hold some of them each get the bits that one process gets that holds them all.
 */
import {
  bytesOf,
  dispose,
  fromBytes,
  leaves,
  mapTree,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../core/mod.ts";
import { add } from "../ops/mod.ts";
import { leafOf } from "./moments.ts";
import type { World } from "./world.ts";
import { log2 } from "../elementary/exponential.ts";

/** Which rank computes a chunk: consecutive chunks, nearly as many for each rank. */
export function ownerOf(chunk: number, chunks: number, { size }: Pick<World, "size">): number {
  return Math.floor(((chunk + 1) * size - 1) / chunks);
}

/**
 * The sum over all chunks, on every rank. Frees what it adds.
 *
 * @param chunks How many there are.
 * @param like A tree of the gradients' shapes, for ranks that compute none.
 * @param chunk Computes the gradients of one.
 */
export async function treeSum(
  world: World,
  chunks: number,
  like: Tree,
  chunk: (number: number) => Tree | Promise<Tree>,
): Promise<Tree> {
  /** The sum of n chunks from the first on, at the rank that computes the first. */
  const sum = async (first: number, n: number): Promise<Tree | undefined> => {
    const owner = ownerOf(first, chunks, world);
    if (n === 1) return owner === world.rank ? await chunk(first) : undefined;
    const half = 2 ** (Math.ceil(log2(n)) - 1);
    const left = await sum(first, half);
    const right = await sum(first + half, n - half).catch((error) => {
      dispose(left);
      throw error;
    });
    const other = ownerOf(first + half, chunks, world);
    if (right !== undefined && owner !== world.rank) {
      await world.send(owner, await packed(right));
      dispose(right);
      return undefined;
    }
    if (left === undefined) return undefined;
    return added(left, right ?? await received(world, other, like));
  };
  const total = await sum(0, chunks);
  if (world.size === 1) return total!;
  const root = ownerOf(0, chunks, world);
  if (total === undefined) return await received(world, root, like, "broadcast");
  await world.broadcast(root, await packed(total));
  return total;
}

/** a + b, in place of both. */
function added(a: Tree, b: Tree): Tree {
  const sum = scope((): Synchronous<Tree> =>
    mapTree(a, (t, path) => add(t, leafOf(b, path))) as Synchronous<Tree>
  );
  dispose([a, b]);
  return sum;
}

/** The numbers of all leaves, one after another. */
async function packed(tree: Tree): Promise<Uint8Array<ArrayBuffer>> {
  const all = leaves(tree).map(([, t]) => t);
  const bytes = new Uint8Array(all.reduce((sum, t) => sum + t.size * 4, 0));
  let at = 0;
  for (const t of all) {
    bytes.set(await bytesOf(t), at);
    at += t.size * 4;
  }
  return bytes;
}

/** A tree of these shapes from another rank. */
async function received(
  world: World,
  from: number,
  like: Tree,
  how: "receive" | "broadcast" = "receive",
): Promise<Tree> {
  const bytes = new Uint8Array(leaves(like).reduce((sum, [, t]) => sum + t.size * 4, 0));
  await world[how](from, bytes);
  let at = 0;
  return scope((): Synchronous<Tree> =>
    mapTree(like, (t): Tensor => {
      const own = bytes.subarray(at, at += t.size * 4);
      return fromBytes(own, t.shape, "f32", t.backend);
    }) as Synchronous<Tree>
  );
}

/** The places of a stack of equal blocks, repeated for each block, for a spec. */
import type { AttentionPlace, LinearPlace, Spec, Stack, SublayerPlace } from "../core/mod.ts";
import { joined } from "./site.ts";

/** The places of one block. Paths are relative to the block; "" is the block itself. */
export interface BlockPlaces {
  /** Path of the list of blocks: "model.layers". */
  readonly path: string;
  /** The stack that the blocks belong to. */
  readonly stack: Stack;
  /** How many blocks. */
  readonly layers: number;
  /** d, the size of a state. */
  readonly width: number;
  /** For each linear layer its path, role, sizes, and whether it has a bias (default: no). */
  readonly linears: readonly (readonly [
    path: string,
    role: LinearPlace["role"],
    inFeatures: number,
    outFeatures: number,
    bias?: boolean,
  ])[];
  /** Whether matrices are stored [in, out]. Default: [out, in]. */
  readonly transposed?: boolean;
  /** The attention. */
  readonly attention: Pick<AttentionPlace, "path" | "heads" | "keyValueHeads" | "headDim">;
  /** Path and role of each part whose output is added to the states. */
  readonly sublayers: readonly (readonly [path: string, role: SublayerPlace["role"]])[];
  /** The norms. Default: none. */
  readonly norms?: {
    /** Norms of states. */
    readonly paths: readonly string[];
    /** Norms of heads' queries and keys. Default: none. */
    readonly heads?: readonly string[];
    /** Whether they have a bias. Default: no. */
    readonly bias?: boolean;
    /** The weight at which the norm scales by one. Default: 1. */
    readonly neutral?: 0;
  };
}

/**
 * The places of all blocks, in order. The model adds the places outside them (further norms, embeddings,
 * heads, the stack itself).
 *
 * @example
 * ```ts
 * import { blockPlaces } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const { linears, blocks } = blockPlaces({
 *   ...{ path: "blocks", stack: "decoder", layers: 2, width: 8 },
 *   linears: [["up", "up", 8, 16], ["down", "down", 16, 8]],
 *   attention: { path: "attend", heads: 2, keyValueHeads: 2, headDim: 4 },
 *   sublayers: [["attend", "attention"]],
 * });
 * assert.deepEqual(linears.map(({ path }) => path), ["blocks.0.up", "blocks.0.down", "blocks.1.up", "blocks.1.down"]);
 * assert.equal(blocks[1]!.layer, 1);
 * ```
 */
export function blockPlaces(
  { path: list, stack, layers, width, transposed = false, ...block }: BlockPlaces,
): Pick<Spec, "linears" | "attentions" | "sublayers" | "blocks" | "norms"> {
  const each = Array.from({ length: layers }, (_, layer) => ({ layer, stack, path: `${list}.${layer}` }));
  const childSite = <T, P>(list: readonly T[], place: (item: T) => P & { readonly path: string }) =>
    each.flatMap((at) =>
      list.map((item) => {
        const found = place(item);
        return { ...at, ...found, path: joined(at.path, found.path) };
      })
    );
  const { paths = [], heads = [], bias: normBias = false, neutral } = block.norms ?? {};
  const norm = { kind: "norm" as const, bias: normBias, ...neutral === 0 && { neutral } };
  return {
    linears: childSite(block.linears, ([path, role, inFeatures, outFeatures, bias = false]) => ({
      ...{ kind: "linear" as const, path, role },
      ...{ inFeatures, outFeatures, bias, transposed },
    })),
    attentions: childSite([block.attention], (attention) => ({
      kind: "attention" as const,
      role: "self" as const,
      ...attention,
    })),
    sublayers: childSite(
      block.sublayers,
      ([path, role]) => ({ kind: "sublayer" as const, path, role, width }),
    ),
    blocks: each.map((at) => ({ kind: "block", ...at, width })),
    norms: [
      ...childSite(paths, (path) => ({ ...norm, path, width })),
      ...childSite(
        heads,
        (path) => ({ ...norm, path, width: block.attention.headDim, over: "head" as const }),
      ),
    ],
  };
}

/**
 * Top-layer tuning: the last k blocks are trained, with everything above them. Nothing below them is
 * differentiated, so the backward pass ends there.
 *
 * A head that is tied to the embedding has no matrix of its own. By default it stays frozen; with `tied:
 * "trained"` the shared matrix is trained (once), and gradients then reach the embedding through the whole
 * base.
 */
import {
  type DefinedMethod,
  defineMethod,
  paramsAt,
  replaceLeaf,
  type Spec,
  type Stack,
  type StackPlace,
  type Tensor,
  trainableCopy,
} from "../../core/mod.ts";
import { bounded, count, type Filled, oneOf, option } from "../../core/options/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of top-layer tuning. */
export interface TopLayersOptions {
  /** k, number of blocks from the top. Default 1. */
  readonly blocks?: number;
  /** Which stack, where the model has two. */
  readonly stack?: Stack | undefined;
  /** Final norm, pooler and heads above the blocks. Default "trained". */
  readonly above?: "trained" | "frozen";
  /** The matrix of a tied head. Default "frozen". */
  readonly tied?: "trained" | "frozen";
}

/**
 * Top-layer tuning as a method. Parameters are copies under the checkpoint's names.
 *
 * @throws {RangeError} when k is not a positive integer; at init, when the stack has fewer blocks, or the
 * model has two and `stack` is not given.
 * @example
 * ```ts
 * import { topLayers } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(topLayers({ blocks: 2 }).name, "top-layers");
 * ```
 */
export const topLayers: DefinedMethod<TopLayersOptions> = defineMethod<TopLayersOptions>({
  name: "top-layers",
  summary: "Trains the last blocks and what stands above them.",
  facts: { trains: "k blocks", changes: "the same", source: "|" },
  title: "top-layer tuning",
  options: {
    blocks: option(bounded(count, "blocks"), "k, how many blocks from the top", 1),
    stack: option(oneOf("encoder", "decoder"), "which stack, where the model has two"),
    above: option(oneOf("trained", "frozen"), "final norm, pooler and heads above the blocks", "trained"),
    tied: option(oneOf("trained", "frozen"), "the matrix of a head tied to the embedding", "frozen"),
  },
  create: (options) => ({
    init: ({ model }) =>
      freshParams(() => topLeaves(model.spec, options).map((path) => [path, trainableCopy(model, path)])),
    edits: (params, spec) =>
      topLeaves(spec, options).map((path) => replaceLeaf(path, paramsAt(params, path) as Tensor)),
  }),
  cli: { rate: 5e-5, shortRate: 1e-3, flags: [], head: "all" },
  published: {
    setting: "last block and what is above",
    options: ({ spec }) => spec.stacks.length > 1 ? { stack: "decoder" } : {},
  },
});

function topLeaves(spec: Spec, options: Filled<TopLayersOptions>): readonly string[] {
  const { blocks, above, tied } = options;
  const { stack, layers, entrance } = stackOf(spec, options);
  if (blocks > layers) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected at most the ${layers} blocks of the ${stack} but found ${blocks}`,
    );
  }
  // Places without a layer are below the blocks, at the entrance, or above them. Only the last stack has
  // heads.
  const last = spec.stacks[spec.stacks.length - 1]!.stack === stack;
  const below = (path: string): boolean => path === entrance || path.startsWith(`${entrance}.`);
  const chosen = (
    place: { readonly path: string; readonly stack: Stack; readonly layer?: number },
  ): boolean =>
    place.stack === stack &&
    (place.layer === undefined ? above === "trained" && !below(place.path) : place.layer >= layers - blocks);
  const heads = spec.heads.filter((head) => last && above === "trained" && head.stack === stack);
  const shared = tied === "trained" && last
    ? spec.heads.flatMap((head) => head.tiedTo === undefined ? [] : [`${head.tiedTo}.weight`])
    : [];
  const leaves = (place: { readonly path: string; readonly bias?: boolean }): readonly string[] =>
    place.bias ? [`${place.path}.weight`, `${place.path}.bias`] : [`${place.path}.weight`];
  return [
    ...[...spec.linears, ...spec.norms].filter(chosen).flatMap(leaves),
    // Tables inside a block, such as T5's relative positions in the first one.
    ...spec.embeddings.filter((place) => place.layer !== undefined && chosen(place)).flatMap(leaves),
    ...heads.flatMap((head) =>
      head.tiedTo === undefined ? leaves(head) : head.bias ? [`${head.path}.bias`] : []
    ),
    ...new Set(shared),
  ];
}

function stackOf(spec: Spec, { stack }: Pick<TopLayersOptions, "stack">): StackPlace {
  const found = stack === undefined ? spec.stacks : spec.stacks.filter((place) => place.stack === stack);
  const [first, ...more] = found;
  if (first === undefined || more.length > 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot place top-layers on ${spec.architecture}: it has ${
        spec.stacks.map((s) => s.stack).join(" and ")
      }; ` +
        "say which with stack",
    );
  }
  return first;
}

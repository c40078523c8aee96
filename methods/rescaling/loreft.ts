/**
 * LoReFT. Wu et al. 2024, "ReFT: Representation Finetuning for Language Models", arXiv 2404.03592, section 3.2.
 *
 *   h ← h + Rᵀ (W h + b − R h)        R [r, d] orthonormal rows   W [r, d]   b [r]
 *
 * on the outputs h of the blocks, at the first p and last s tokens of the prompt. For a text of n tokens
 * either is at most ⌊n/2⌋, so the two never overlap (dataset.py of the authors' pyreft). Generated tokens are
 * never edited: not when decoding, and in training only tokens before the first label are. Dropout applies to
 * the whole edited state, not the edit.
 *
 * R is projected back to orthonormal rows after each optimizer step. The model is not initially unchanged,
 * since R and W are random. DiReFT omits R h (`subtracts: "nothing"`), NoReFT leaves R unconstrained (`rows:
 * "free"`).
 */
import {
  type BlockPlace,
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  type HiddenCall,
  type HiddenEdit,
  key as keyOf,
  mapTree,
  paramsAt,
  type Spec,
  type Tensor,
  type Tree,
  under,
} from "../../core/mod.ts";
import { bounded, count, oneOf, option, probability, seed } from "../../core/options/mod.ts";
import { add, dropout, matmul, multiply, normal, orthogonalRows, subtract } from "../../ops/mod.ts";
import { activationOption } from "../shared/adapter_options.ts";
import { type Affine, affine, freshAffine } from "../shared/affine.ts";
import { type Activation, activation } from "../shared/bottleneck.ts";
import { freshParams, kaiming } from "../shared/initial_factors.ts";
import { firstAndLastTokens } from "./text_ends.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of LoReFT. */
export interface LoreftOptions {
  /** r, default 8. */
  readonly rank?: number;
  /** p, first tokens of a text, default 7. */
  readonly first?: number;
  /** s, last tokens of a text, default 7. */
  readonly last?: number;
  /** One edit for both ends ("tied", default), or one for each. */
  readonly ends?: "tied" | "apart";
  /** Probability of dropping an element of an edited state in training, default 0. */
  readonly dropout?: number;
  /** Whether R keeps orthonormal rows (default) or is an unconstrained matrix. */
  readonly rows?: "orthonormal" | "free";
  /** What is subtracted from W h + b: R h ("projection", default) or nothing. */
  readonly subtracts?: "projection" | "nothing";
  /** A non-linearity on W h + b, default "none". */
  readonly activation?: Activation;
  /**
   * How many of a text's n tokens either end may have: ⌊n/2⌋ ("half", default), or all, where the last ones
   * take precedence ("text").
   */
  readonly atMost?: "half" | "text";
  /**
   * Which stack of an encoder-decoder model is edited: the encoder ("reading", default), or both as in
   * AdapterHub.
   */
  readonly stacks?: "reading" | "both";
}

/** One edit: R and W, b. */
interface Intervention {
  readonly rotation: Tensor;
  readonly source: Affine;
}
type Ends = { readonly [end in End]?: Intervention };
type End = "both" | "first" | "last";

/**
 * LoReFT as a method, on every block; `at(layers(…), loreft())` selects some. In a model with an encoder only
 * the encoder is edited. Parameters under a block's path: `both.rotation` [r, d], `both.source.weight` [r,
 * d], `both.source.bias` [r], or `first` and `last` instead of `both`.
 *
 * @throws {RangeError} when the rank is not a positive integer or above d, p or s is negative or both are 0,
 * or dropout is not in [0, 1).
 * @example
 * ```ts
 * import { loreft } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(loreft({ rank: 4, first: 3, last: 0 }).name, "loreft");
 * ```
 */
export const loreft: DefinedMethod<LoreftOptions> = defineMethod<LoreftOptions>({
  name: "loreft",
  summary: "Edits hidden states of the first and last tokens within a low-rank subspace.",
  facts: { parameters: "2 r d + r a layer (tied)", merges: "no" },
  aliases: ["reft"],
  title: "LoReFT",
  options: {
    rank: option(bounded(count, "rank"), "r, the rank of the edit", 8),
    first: option(bounded(seed, "prompt"), "p, how many first tokens of a text are edited", 7),
    last: option(bounded(seed, "prompt"), "s, how many last tokens of a text are edited", 7),
    ends: option(oneOf("tied", "apart"), "one edit for both ends, or one for each", "tied"),
    dropout: option(probability, "dropout of an edited state in training", 0),
    rows: option(oneOf("orthonormal", "free"), "what R is kept to in training", "orthonormal"),
    subtracts: option(
      oneOf("projection", "nothing"),
      "what is subtracted from W h + b: R h, or nothing",
      "projection",
    ),
    activation: activationOption("none"),
    atMost: option(oneOf("half", "text"), "how many of a text's tokens either end may have", "half"),
    stacks: option(
      oneOf("reading", "both"),
      "which stacks: the encoder where there is one, or both",
      "reading",
    ),
  },
  create: ({ rank, first, last, ends, dropout: p, rows, subtracts, activation: σ, atMost, stacks }) => {
    if (first + last === 0) {
      throw rangeError("INVALID_ARGUMENT", "Expected first or last above 0 but found 0 for both");
    }
    const names: readonly End[] = ends === "tied" ? ["both"] : [
      ...first > 0 ? ["first" as const] : [],
      ...last > 0 ? ["last" as const] : [],
    ];
    const edit = ({ rotation, source }: Intervention, call: HiddenCall): Tensor => {
      const h = call.y;
      const wanted = activation(σ)(affine(source, h)); // [b, t, r]
      const change = subtracts === "nothing"
        ? wanted
        : subtract(wanted, matmul(h, rotation, { transposeB: true }));
      const added = matmul(change, rotation); // [b, t, d]
      if (!call.train || call.key === undefined || p === 0) return added;
      return subtract(dropout(add(h, added), p, call.key), h);
    };
    const run = (interventions: Ends, call: HiddenCall): Tensor => {
      const at = firstAndLastTokens(call, first, last, atMost);
      if (at === undefined) return multiply(call.y, 0);
      const places = { ...at, both: add(at.first, at.last) }; // [b, t, 1]
      return names.map((end) => multiply(edit(interventions[end]!, call), places[end]))
        .reduce((a, b) => add(a, b));
    };
    return {
      init: ({ model: { spec, backend }, key }) =>
        freshParams(() =>
          blocksRead(spec, stacks).flatMap(({ path, width }) =>
            names.flatMap((end) => {
              if (rank > width) {
                throw rangeError(
                  "INVALID_ARGUMENT",
                  `Expected rank up to the width ${width} but found ${rank}`,
                );
              }
              const seed = fold(fold(keyOf(key), path), end);
              return under(`${path}.${end}`, {
                rotation: rows === "free"
                  ? kaiming(seed, "rotation", [rank, width], backend)
                  : orthogonalRows(normal(fold(seed, "rotation"), [rank, width], backend)),
                source: freshAffine(fold(seed, "source"), rank, width, backend),
              });
            })
          )
        ),
      edits: (params, spec) =>
        blocksRead(spec, stacks).map(({ path }): HiddenEdit => {
          const here = paramsAt(params, path) as Ends;
          const used = Object.fromEntries(names.map((end) => [end, here[end]!])) as Ends;
          return { kind: "hidden", path, reads: "output", delta: fn(used, run) };
        }),
      ...rows === "orthonormal" && {
        project: (params: Tree) =>
          mapTree(params, (t, path) => path.endsWith(".rotation") ? orthogonalRows(t) : t),
      },
    };
  },
  cli: { rate: 1e-3, flags: ["rank", "dropout"] },
  published: { setting: "r 8, 7 first and 7 last" },
});

/**
 * Blocks that read the prompt: the encoder's where there is one. @throws {RangeError} when there is no block.
 */
function blocksRead(spec: Spec, stacks: "reading" | "both"): readonly BlockPlace[] {
  const encoder = stacks === "both" ? [] : spec.blocks.filter(({ stack }) => stack === "encoder");
  const found = encoder.length > 0 ? encoder : spec.blocks;
  if (found.length === 0) {
    throw rangeError("METHOD_DOES_NOT_FIT", "Cannot place loreft: the model offers no block");
  }
  return found;
}

/**
 * Prefix tuning. Li and Liang 2021, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", arXiv 2101.00190.
 *
 *   K ← [P_K; K]   V ← [P_V; V]   at every attention, P_K and P_V [n, heads, headDim] of its key and value heads
 *   training   P = W₂ tanh(W₁ e + b₁) + b₂     e [n, d]   W₁ [k, d]     with separate rows of W₂ for each attention
 *
 * The rows are added after the projections, so they are keys and values, not hidden states, and are not
 * rotated. There is one network and one e for each kind of attention (stack and role). In a decoder's
 * self-attention the prefix acts as past keys and values, as in the authors' code and PEFT: it occupies n
 * positions.
 */
import {
  type AttentionCall,
  type AttentionPlace,
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  key as keyOf,
  lookup,
  paramsAt,
  type PrefixEdit,
  type PrefixRows,
  type Spec,
  type Tensor,
  type Tree,
  under,
} from "../../core/mod.ts";
import {
  any,
  bounded,
  count,
  type DefaultedOption,
  fields,
  oneOf,
  option,
  probability,
} from "../../core/options/mod.ts";
import { dropout, normal, reshape } from "../../ops/mod.ts";
import { type Affine, affine, freshAffine } from "../shared/affine.ts";
import { type Activation, activation } from "../shared/bottleneck.ts";
import { activationSchema } from "../shared/adapter_options.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rowsSetting } from "../shared/model_sizes.ts";
import { lengthOption } from "./prompt_options.ts";
import { normalRows, prefixPlaces } from "./prefix_places.ts";

/** Options of prefix tuning. */
export interface PrefixTuningOptions {
  /** n, default 10. */
  readonly length?: number;
  /**
   * The network that generates the rows while training: its width k and non-linearity (default "tanh"), or
   * "none" to train them directly. Default k = 512.
   */
  readonly network?: { readonly hidden: number; readonly activation?: Activation } | "none";
  /** Probability of dropping an element of P in training, default 0. */
  readonly dropout?: number;
  /**
   * Whether the prefix shifts the text's positions: "past" (default, in a decoder's self-attention), "always"
   * (in an encoder's too, as in PEFT) or "none".
   */
  readonly positions?: "past" | "always" | "none";
  /**
   * Effect of the rows on relative distances within the text, in a model that uses them: none (default), or
   * AdapterHub's shift.
   */
  readonly distances?: PrefixEdit["distances"] | undefined;
  /**
   * Which attentions have rows: all, each its own ("own", the default), or as in PEFT for encoder-decoder
   * models ("peft"): only the decoder's self-attentions, block i with rows number 2i modulo the number of
   * encoder blocks, so that two may share rows.
   */
  readonly rows?: "own" | "peft";
}

/** The network at one attention: `shared` over all attentions of a kind, `last` W₂'s rows for this one. */
interface Network {
  readonly shared: { readonly tokens: Tensor; readonly hidden: Affine };
  readonly last: { readonly k: Affine; readonly v: Affine };
}

/** The network that generates the rows. */
export const networkOption = (
  usual: NonNullable<PrefixTuningOptions["network"]>,
): DefaultedOption<NonNullable<PrefixTuningOptions["network"]>> =>
  option(
    any(
      oneOf("none"),
      fields<{ readonly hidden: number; readonly activation?: Activation }>({
        hidden: bounded(count, "width"),
        "activation?": activationSchema,
      }),
    ),
    "the network that generates the rows in training, by its width, or none",
    usual,
  );

/** Whether rows shift the text's positions. */
export const positionsOption = (
  usual: NonNullable<PrefixTuningOptions["positions"]>,
): DefaultedOption<NonNullable<PrefixTuningOptions["positions"]>> =>
  option(oneOf("past", "always", "none"), "whether the rows shift the text's positions", usual);

/**
 * Prefix tuning as a method. Parameters: under an attention's path `k` and `v` [n, kvHeads, headDim]; with a
 * network `k.weight` [kvHeads · headDim, k], `k.bias` and likewise for v, and
 * `network.<stack>.<role>.tokens`, `.hidden.weight`, `.hidden.bias`. Shared rows are stored under the first
 * attention's path. `finalize` evaluates the network and drops it.
 *
 * @throws {RangeError} when the length or the network's width is not a positive integer, dropout is not in
 * [0, 1), or at init when the model has no attention, or `rows` is "peft" and it lacks one of the stacks.
 * @example
 * ```ts
 * import { prefixTuning } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(prefixTuning({ length: 5, network: "none" }).name, "prefix-tuning");
 * ```
 */
export const prefixTuning: DefinedMethod<PrefixTuningOptions> = defineMethod<PrefixTuningOptions>({
  name: "prefix-tuning",
  summary: "Puts trained keys and values before those of the text at every attention.",
  facts: { "parameters kept": "2 n d an attention kind and layer", "parameters trained": "and the MLP" },
  aliases: ["prefix"],
  title: "prefix tuning",
  options: {
    length: lengthOption(10),
    network: networkOption({ hidden: 512 }),
    dropout: option(probability, "probability of dropping an element of the rows in training", 0),
    positions: positionsOption("past"),
    distances: option(oneOf("true", "pushed"), "how the rows count in relative distances within the text"),
    rows: option(oneOf("own", "peft"), "each attention its own rows, or PEFT's for two stacks", "own"),
  },
  create: (options) => {
    const { length, network, dropout: p, positions, distances, rows } = options;
    const edit = (place: AttentionPlace, rows: PrefixEdit["rows"]): PrefixEdit => ({
      kind: "prefix",
      path: place.path,
      positions: place.role === "self" &&
          (positions === "always" || (positions === "past" && place.stack === "decoder"))
        ? length
        : 0,
      ...distances !== undefined && place.role === "self" && { distances },
      eachToken: true,
      rows,
    });
    const dropped = ({ k, v }: PrefixRows, call: AttentionCall): PrefixRows =>
      call.train && call.key !== undefined && p > 0
        ? { k: dropout(k, p, fold(call.key, "k")), v: dropout(v, p, fold(call.key, "v")) }
        : { k, v };
    const sources = (spec: Spec): readonly AttentionPlace[] => [
      ...new Set(prefixPlaces(spec, rows).map(({ source }) => source)),
    ];

    if (network === "none") {
      return {
        init: ({ model, key }) =>
          freshParams(() =>
            sources(model.spec).flatMap((place) => {
              const { k, v } = normalRows(place, length, key, model.backend);
              return [[`${place.path}.k`, k] as const, [`${place.path}.v`, v] as const];
            })
          ),
        edits: (params, spec) =>
          prefixPlaces(spec, rows).map(({ place, source }) =>
            edit(place, fn(rowsAt<PrefixRows>(params, source), dropped))
          ),
      };
    }

    const σ = network.activation ?? "tanh";
    return {
      init: ({ model: { spec, backend }, key }) =>
        freshParams(() => [
          ...kinds(spec, sources(spec)).flatMap(([kind, width]) => {
            const seed = fold(keyOf(key), kind);
            return [
              [`${kind}.tokens`, normal(fold(seed, "tokens"), [length, width], backend)] as const,
              ...under(`${kind}.hidden`, freshAffine(fold(seed, "hidden"), network.hidden, width, backend)),
            ];
          }),
          ...sources(spec).flatMap((place) =>
            ["k", "v"].flatMap((part) => {
              const [path, out] = [`${place.path}.${part}`, place.keyValueHeads * place.headDim];
              return under(path, freshAffine(fold(keyOf(key), path), out, network.hidden, backend));
            })
          ),
        ]),
      edits: (params, spec) =>
        prefixPlaces(spec, rows).map(({ place, source }) =>
          edit(place, fn(networkAt(params, source), (used, call) => dropped(made(used, place, σ), call)))
        ),
      finalize: (params, spec) => ({
        method: prefixTuning({ ...options, network: "none" }),
        params: freshParams(() =>
          sources(spec).flatMap((place) => {
            const { k, v } = made(networkAt(params, place), place, σ);
            return [[`${place.path}.k`, k] as const, [`${place.path}.v`, v] as const];
          })
        ),
      }),
    };
  },
  cli: { rate: 1e-3, flags: ["length", "dropout"] },
  survey: {
    kinds: "A",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra input",
    trainable: "0.1 - 4.0",
    changed: "0.1 - 4.0",
    differs: "the network that makes the prefixes trains too, and is dropped afterwards",
  },
  published: rowsSetting(10),
});

/** P_K and P_V of one attention. */
function made(
  { shared, last }: Network,
  { keyValueHeads, headDim }: AttentionPlace,
  σ: Activation,
): PrefixRows {
  const h = activation(σ)(affine(shared.hidden, shared.tokens)); // [n, k]
  const rows = (part: Affine): Tensor => reshape(affine(part, h), [-1, keyValueHeads, headDim]); // [n, g, d]
  return { k: rows(last.k), v: rows(last.v) };
}

function networkAt(params: Tree, place: AttentionPlace): Network {
  return {
    shared: lookup(params, kindOf(place)) as Network["shared"],
    last: rowsAt<Network["last"]>(params, place),
  };
}

const kindOf = (place: AttentionPlace): string => `network.${place.stack}.${place.role}`;

/** The kinds of attentions, each with its stack's width. */
function kinds(
  spec: Spec,
  attentions: readonly AttentionPlace[],
): readonly (readonly [kind: string, width: number])[] {
  const width = (place: AttentionPlace): number =>
    spec.stacks.find((s) => s.stack === place.stack)?.width ?? place.heads * place.headDim;
  return [...new Map(attentions.map((place) => [kindOf(place), width(place)] as const))];
}

const rowsAt = <T>(params: Tree, place: AttentionPlace): T => {
  const { k, v } = paramsAt(params, place.path) as { readonly k: unknown; readonly v: unknown };
  return { k, v } as T;
};

/**
 * Cross-attention tuning. Gheini, Ren and May 2021, "Cross-Attention is All You Need: Adapting Pretrained
 * Transformers for Machine Translation", arXiv 2104.08771: in an encoder-decoder model, only the decoder's
 * attention to the encoder is trained, with its norm.
 *
 *   per decoder layer  q, k, v, o and LayerNorm: 4 (d² + d) + 2 d where there are biases
 *
 * The authors train every parameter whose name contains `encoder_attn` (`fairseq_cli/train.py`). For transfer
 * to a new language its embeddings are trained too (`embeddings: "trained"`) and often outnumber the rest;
 * "randxattn" reinitializes the attention (`start: "random"`) as in fairseq: q, k, v and o Glorot-uniform,
 * with q, k, v smaller by 1/√2, biases zero, norms one.
 */
import {
  type DefinedMethod,
  defineMethod,
  fold,
  type Key,
  key as keyOf,
  type LinearPlace,
  type Model,
  type NormPlace,
  paramsAt,
  replaceLeaf,
  type Spec,
  type Tensor,
  trainableCopy,
} from "../../core/mod.ts";
import { oneOf, option } from "../../core/options/mod.ts";
import { ones, uniform, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of cross-attention tuning. */
export interface CrossAttentionOptions {
  /** Token and position tables, and the norm after them. Default "frozen". */
  readonly embeddings?: "trained" | "frozen";
  /** Initialization: the pretrained weights (default), or random. */
  readonly start?: "pretrained" | "random";
}

/**
 * Cross-attention tuning as a method. Parameters are copies under the checkpoint's names.
 *
 * @throws {RangeError} at init and when grafted, when the model has no attention from a decoder to an encoder.
 * @example
 * ```ts
 * import { crossAttention } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(crossAttention({ start: "random" }).name, "cross-attention");
 * ```
 */
export const crossAttention: DefinedMethod<CrossAttentionOptions> = defineMethod<CrossAttentionOptions>({
  name: "cross-attention",
  summary: "Trains the cross-attention of an encoder-decoder model alone.",
  facts: { trains: "4 (d² + d) + 2d a decoder layer", changes: "the same" },
  title: "cross-attention tuning",
  options: {
    embeddings: option(
      oneOf("trained", "frozen"),
      "token and position tables, and the norm after them",
      "frozen",
    ),
    start: option(oneOf("pretrained", "random"), "how the attention starts", "pretrained"),
  },
  create: ({ embeddings, start }) => ({
    init: ({ model, key }) =>
      freshParams(() => {
        const { linears, norms } = crossPlaces(model.spec);
        const tables = embeddings === "trained" ? embeddingLeaves(model.spec) : [];
        const attention = start === "random"
          ? freshAttention(model, linears, norms, keyOf(key))
          : [...linears, ...norms].flatMap(leavesOf).map((path) =>
            [path, trainableCopy(model, path)] as const
          );
        return [...attention, ...tables.map((path) => [path, trainableCopy(model, path)] as const)];
      }),
    edits: (params, spec) => {
      const { linears, norms } = crossPlaces(spec);
      const paths = [
        ...[...linears, ...norms].flatMap(leavesOf),
        ...embeddings === "trained" ? embeddingLeaves(spec) : [],
      ];
      return paths.map((path) => replaceLeaf(path, paramsAt(params, path) as Tensor));
    },
  }),
  cli: { rate: 1e-4, flags: [] },
  survey: {
    kinds: "S",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "No overhead",
  },
  published: { setting: "attention to the encoder" },
});

interface CrossPlaces {
  readonly linears: readonly LinearPlace[];
  readonly norms: readonly NormPlace[];
}

/** The attention's layers, and the norm of its part of the block. */
function crossPlaces(spec: Spec): CrossPlaces {
  const within = (path: string, parent: string): boolean => path.startsWith(`${parent}.`);
  const attentions = spec.attentions.filter((place) => place.role === "cross").map((place) => place.path);
  if (attentions.length === 0) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot place cross-attention on ${spec.architecture}: it has no attention from a decoder to an encoder`,
    );
  }
  const parts = spec.sublayers.filter((place) => place.role === "cross").map((place) => place.path);
  return {
    linears: spec.linears.filter(({ path }) => attentions.some((parent) => within(path, parent))),
    norms: spec.norms.filter(({ path }) => parts.some((parent) => within(path, parent))),
  };
}

function embeddingLeaves(spec: Spec): readonly string[] {
  const norms = spec.norms.filter((place) =>
    spec.stacks.some(({ entrance }) => place.path.startsWith(`${entrance}.`))
  );
  const tables = spec.embeddings.filter((place) => place.layer === undefined);
  return [...tables.map(({ path }) => `${path}.weight`), ...norms.flatMap(leavesOf)];
}

const leavesOf = ({ path, bias }: LinearPlace | NormPlace): readonly string[] =>
  bias ? [`${path}.weight`, `${path}.bias`] : [`${path}.weight`];

function freshAttention(
  { backend }: Model,
  linears: readonly LinearPlace[],
  norms: readonly NormPlace[],
  key: Key,
): readonly (readonly [string, Tensor])[] {
  return [
    ...linears.flatMap(({ path, inFeatures: n, outFeatures: m, transposed, bias, role }) => {
      const bound = Math.sqrt(6 / (n + m)) / (role === "output" ? 1 : Math.SQRT2);
      const shape = transposed ? [n, m] : [m, n];
      return [
        [`${path}.weight`, uniform(fold(key, path), shape, backend, -bound, bound)] as const,
        ...bias ? [[`${path}.bias`, zeros([m], backend)] as const] : [],
      ];
    }),
    ...norms.flatMap(({ path, width, bias, neutral = 1 }) => [
      [`${path}.weight`, (neutral === 0 ? zeros : ones)([width], backend)] as const,
      ...bias ? [[`${path}.bias`, zeros([width], backend)] as const] : [],
    ]),
  ];
}

/** The places of T5, and the names of its tensors. */
import type {
  AttentionPlace,
  LinearPlace,
  ModelConfig,
  NormPlace,
  Spec,
  Stack,
  SublayerPlace,
} from "../core/mod.ts";
import { type T5Config, t5Config } from "./t5_config.ts";

/** The parts of a block in order, as the checkpoint numbers them. */
interface Part {
  readonly path: string;
  readonly stack: Stack;
  readonly layer: number;
  readonly role: SublayerPlace["role"];
  /** Name of the module inside. */
  readonly module: "SelfAttention" | "EncDecAttention" | "DenseReluDense";
}

const PARTS = {
  encoder: [["attention", "SelfAttention"], ["feedForward", "DenseReluDense"]],
  decoder: [["attention", "SelfAttention"], ["cross", "EncDecAttention"], ["feedForward", "DenseReluDense"]],
} as const;

const STACKS = ["encoder", "decoder"] as const;

/** The layers of a feed-forward part. */
const FEED_FORWARD = {
  plain: [["wi", "up"], ["wo", "down"]],
  gated: [["wi_0", "gate"], ["wi_1", "up"], ["wo", "down"]],
} as const;

/**
 * The places of a T5 model, from its config alone.
 *
 * @example
 * ```ts
 * import { smallConfig } from "@graft/peft";
 * import { t5Spec } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const { attentions } = t5Spec(smallConfig("t5", { layers: 1 }));
 * assert.deepEqual(attentions.map(({ stack, role }) => `${stack} ${role}`), ["encoder self", "decoder self", "decoder cross"]);
 * ```
 */
export function t5Spec(config: ModelConfig): Spec {
  const c = t5Config(config);
  const { width } = c;
  const parts: readonly Part[] = STACKS.flatMap((stack) =>
    Array.from({ length: c.layers[stack] }, (_, layer) =>
      PARTS[stack].map(([role, module], i): Part => ({
        path: `${stack}.block.${layer}.layer.${i}`,
        stack,
        layer,
        role,
        module,
      }))).flat()
  );
  const norm = (path: string, stack: Stack): NormPlace => ({ kind: "norm", path, stack, width, bias: false });
  return {
    architecture: "t5",
    linears: parts.flatMap((part) => linearsOf(part, c)),
    attentions: parts.filter((part) => part.role !== "feedForward").map((
      { path, module, stack, layer, role },
    ) =>
      ({
        kind: "attention",
        path: `${path}.${module}`,
        stack,
        layer,
        role: role === "cross" ? "cross" : "self",
        heads: c.heads,
        keyValueHeads: c.heads,
        headDim: c.headDim,
      }) satisfies AttentionPlace
    ),
    sublayers: parts.map(({ path, stack, layer, role }) => ({
      kind: "sublayer",
      path,
      stack,
      layer,
      role,
      width,
    })),
    blocks: STACKS.flatMap((stack) =>
      Array.from(
        { length: c.layers[stack] },
        (_, layer) => ({ kind: "block", path: `${stack}.block.${layer}`, stack, layer, width }) as const,
      )
    ),
    norms: [
      ...parts.map(({ path, stack, layer }) => ({ ...norm(`${path}.layer_norm`, stack), layer })),
      ...STACKS.map((stack) => norm(`${stack}.final_layer_norm`, stack)),
    ],
    embeddings: [
      { kind: "embedding", path: "shared", stack: "encoder", role: "token", rows: c.vocabulary, width },
      ...STACKS.map((stack) => ({
        kind: "embedding" as const,
        path: `${stack}.block.0.layer.0.SelfAttention.relative_attention_bias`,
        stack,
        layer: 0,
        role: "position" as const,
        rows: c.buckets,
        width: c.heads,
      })),
    ],
    heads: [{
      kind: "head",
      path: "lm_head",
      stack: "decoder",
      inFeatures: width,
      outFeatures: c.vocabulary,
      bias: false,
      ...c.tied && { tiedTo: "shared" },
    }],
    stacks: STACKS.map((stack) => ({
      kind: "stack",
      path: stack,
      entrance: "shared",
      stack,
      width,
      layers: c.layers[stack],
    })),
  };
}

function linearsOf({ path, stack, layer, module }: Part, c: T5Config): readonly LinearPlace[] {
  const inner = c.heads * c.headDim;
  const place = (
    name: string,
    role: LinearPlace["role"],
    inFeatures: number,
    outFeatures: number,
  ): LinearPlace => ({
    kind: "linear",
    path: `${path}.${module}.${name}`,
    stack,
    layer,
    role,
    inFeatures,
    outFeatures,
    bias: false,
    transposed: false,
  });
  return module === "DenseReluDense"
    ? FEED_FORWARD[c.feedForward].map(([name, role]) =>
      role === "down" ? place(name, role, c.inner, c.width) : place(name, role, c.width, c.inner)
    )
    : [
      place("q", "query", c.width, inner),
      place("k", "key", c.width, inner),
      place("v", "value", c.width, inner),
      place("o", "output", inner, c.width),
    ];
}

/**
 * The tree's path of a checkpoint's tensor; undefined for further copies of the token table, and for an
 * unused table.
 *
 * @example
 * ```ts
 * import { t5WeightPath } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * assert.equal(t5WeightPath("shared.weight"), "shared.weight");
 * assert.equal(t5WeightPath("encoder.embed_tokens.weight"), undefined); // the same numbers again
 * ```
 */
export function t5WeightPath(name: string): string | undefined {
  return /^(encoder|decoder)\.embed_tokens\.|\.EncDecAttention\.relative_attention_bias\./.test(name)
    ? undefined
    : name;
}

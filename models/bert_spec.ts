/** The places of BERT and RoBERTa, and the names of their tensors. */
import type { HeadPlace, LinearPlace, ModelConfig, NormPlace, Spec } from "../core/mod.ts";
import { type BertConfig, bertConfig } from "./bert_config.ts";
import { joined } from "./site.ts";

/** The paths of the parts of a head. */
export interface BertHeadPaths {
  /** The layer between states and scores, if there is one, and its norm. */
  readonly dense?: string;
  /** Path of the norm before the output. */
  readonly norm?: string;
  /** The layer that computes the scores. */
  readonly out?: string;
  /** The name in checkpoints of the bias of the word scores. */
  readonly wordBias?: string;
}

/** Each family has its own names for heads. */
export function headPaths({ family, head }: BertConfig): BertHeadPaths {
  switch (head) {
    case "none":
      return {};
    case "token":
      return { out: "classifier" };
    case "text":
      return family === "bert"
        ? { dense: "bert.pooler.dense", out: "classifier" }
        : { dense: "classifier.dense", out: "classifier.out_proj" };
    case "mask":
      return family === "bert"
        ? {
          dense: "cls.predictions.transform.dense",
          norm: "cls.predictions.transform.LayerNorm",
          out: "cls.predictions.decoder",
          wordBias: "cls.predictions.bias",
        }
        : {
          dense: "lm_head.dense",
          norm: "lm_head.layer_norm",
          out: "lm_head.decoder",
          wordBias: "lm_head.bias",
        };
    default:
      return head satisfies never;
  }
}

/**
 * The places of a BERT or RoBERTa model, from its config alone.
 *
 * @example
 * ```ts
 * import { smallConfig } from "@graft/peft";
 * import { bertSpec } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const { linears, norms } = bertSpec(smallConfig("bert", { layers: 1 }));
 * const inBlocks = linears.filter(({ layer }) => layer === 0).map(({ role }) => role);
 * assert.deepEqual(inBlocks, ["query", "key", "value", "output", "up", "down"]);
 * assert.ok(norms.every(({ bias }) => bias));
 * ```
 */
export function bertSpec(config: ModelConfig): Spec {
  const c = bertConfig(config);
  const stack = "encoder" as const;
  const { width } = c;
  const embeddings = joined(c.tower, "embeddings");
  const perLayer = <T>(f: (path: string, layer: number) => readonly T[]): readonly T[] =>
    Array.from({ length: c.layers }, (_, layer) => f(joined(c.tower, `encoder.layer.${layer}`), layer))
      .flat();
  const linearsOf = [
    ["attention.self.query", "query", width, width],
    ["attention.self.key", "key", width, width],
    ["attention.self.value", "value", width, width],
    ["attention.output.dense", "output", width, width],
    ["intermediate.dense", "up", width, c.inner],
    ["output.dense", "down", c.inner, width],
  ] as const;
  const table = (name: string, role: "token" | "position" | "type", rows: number) =>
    ({ kind: "embedding", path: `${embeddings}.${name}`, stack, role, rows, width }) as const;
  const norm = (path: string): NormPlace => ({ kind: "norm", path, stack, width, bias: true });
  const head = headPaths(c);
  const dense: readonly LinearPlace[] = head.dense === undefined ? [] : [{
    kind: "linear",
    path: head.dense,
    stack,
    role: "other",
    inFeatures: width,
    outFeatures: width,
    bias: true,
    transposed: false,
  }];
  const heads: readonly HeadPlace[] = head.out === undefined ? [] : [{
    kind: "head",
    path: head.out,
    stack,
    inFeatures: width,
    outFeatures: c.head === "mask" ? c.vocabulary : c.classes,
    bias: true,
    ...c.head === "mask" && c.tied && { tiedTo: `${embeddings}.word_embeddings` },
  }];
  return {
    architecture: c.family,
    linears: [
      ...perLayer((path, layer) =>
        linearsOf.map(([name, role, inFeatures, outFeatures]): LinearPlace => ({
          kind: "linear",
          path: `${path}.${name}`,
          stack,
          layer,
          role,
          inFeatures,
          outFeatures,
          bias: true,
          transposed: false,
        }))
      ),
      ...dense,
    ],
    attentions: perLayer((path, layer) => [{
      kind: "attention",
      path: `${path}.attention.self`,
      stack,
      layer,
      role: "self",
      heads: c.heads,
      keyValueHeads: c.heads,
      headDim: width / c.heads,
    }]),
    sublayers: perLayer((path, layer) => [
      { kind: "sublayer", path: `${path}.attention.output`, stack, layer, role: "attention", width },
      { kind: "sublayer", path: `${path}.output`, stack, layer, role: "feedForward", width },
    ]),
    blocks: perLayer((path, layer) => [{ kind: "block", path, stack, layer, width }]),
    norms: [
      { ...norm(`${embeddings}.LayerNorm`), position: "entrance" },
      ...perLayer((path, layer) =>
        ["attention.output", "output"].map((name) => ({ ...norm(`${path}.${name}.LayerNorm`), layer }))
      ),
      ...head.norm === undefined ? [] : [{ ...norm(head.norm), position: "head" as const }],
    ],
    embeddings: [
      table("word_embeddings", "token", c.vocabulary),
      table("position_embeddings", "position", c.positions),
      table("token_type_embeddings", "type", c.types),
    ],
    heads,
    stacks: [{ kind: "stack", path: c.tower, entrance: embeddings, stack, width, layers: c.layers }],
  };
}

/**
 * The tree's path of a checkpoint's tensor, with or without the prefix `bert.` or `roberta.`; undefined for a
 * buffer and for parts of a head that the config does not specify. The first checkpoints use gamma and beta
 * for a norm's weight and bias, and in our tree the bias of the word scores is under its layer.
 *
 * @example
 * ```ts
 * import { smallConfig } from "@graft/peft";
 * import { bertWeightPath, taskConfig } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const pathOf = bertWeightPath(taskConfig(smallConfig("bert"), { kind: "classify", names: ["bad", "good"] }));
 * assert.equal(pathOf("embeddings.LayerNorm.gamma"), "bert.embeddings.LayerNorm.weight");
 * assert.equal(pathOf("cls.predictions.bias"), undefined); // of another head
 * ```
 */
export function bertWeightPath(config: ModelConfig): (name: string) => string | undefined {
  const c = bertConfig(config);
  const { dense = "", norm = "", out = "", wordBias } = headPaths(c);
  return (stored) => {
    const name = stored.replace(/LayerNorm\.gamma$/, "LayerNorm.weight").replace(
      /LayerNorm\.beta$/,
      "LayerNorm.bias",
    );
    const inner = name.replace(/^(bert|roberta)\./, "");
    if (/^embeddings\.(position_ids|token_type_ids)$/.test(inner)) return undefined;
    if (/^(embeddings|encoder)\./.test(inner)) return joined(c.tower, inner);
    if (name === wordBias) return `${out}.bias`;
    if (wordBias !== undefined && name === `${out}.bias`) return undefined;
    const own = inner.startsWith("pooler.") ? joined(c.family, inner) : name;
    if ([dense, norm, out].some((path) => own === `${path}.weight` || own === `${path}.bias`)) return own;
    return /^(pooler|cls|lm_head|classifier|qa_outputs)\./.test(inner) ? undefined : name;
  };
}

/**
 * The checkpoint's name of a leaf: all except the bias of the word scores have the tree's names.
 *
 * @example
 * ```ts
 * import { smallConfig } from "@graft/peft";
 * import { bertSavedName, taskConfig } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const nameOf = bertSavedName(taskConfig(smallConfig("bert"), { kind: "mask" }));
 * assert.equal(nameOf("cls.predictions.decoder.bias"), "cls.predictions.bias");
 * ```
 */
export function bertSavedName(config: ModelConfig): (path: string) => string {
  const { out, wordBias } = headPaths(bertConfig(config));
  return (path) => wordBias !== undefined && path === `${out}.bias` ? wordBias : path;
}

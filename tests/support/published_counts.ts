/** Numbers of parameters that papers report, from published architectures' shapes. No weight is loaded: tensors are shapes. */
import assert from "node:assert/strict";
import {
  type Adapter,
  compose,
  count,
  type Counts,
  dispose,
  leaves,
  type LinearPlace,
  type Method,
  type Model,
  type ModelConfig,
  scope,
  type Spec,
  type Synchronous,
  trainable,
} from "../../core/mod.ts";
import { configShapes } from "../../io/model_shapes.ts";
import { layerNormTune } from "../../methods/mod.ts";
import { shapesOnly } from "../../ops/mod.ts";
import { assertNoLeak } from "./assert.ts";
import { type PublishedModel, SIZES } from "./published_shapes.ts";

/** Runs on a model of shapes. */
export function withShapes<T>(config: ModelConfig, run: (model: Model) => T): T {
  const model = configShapes(config);
  try {
    return run(model);
  } finally {
    model.dispose();
  }
}

/** Counts of a fresh adapter, and of what remains of it. */
export const countsOf = (
  config: ModelConfig,
  made: Method | ((model: Model) => Method),
): { readonly trained: Counts; readonly kept: Counts } =>
  withShapes(
    config,
    (model) =>
      scope((): Synchronous<{ readonly trained: Counts; readonly kept: Counts }> => {
        const method = typeof made === "function" ? made(model) : made;
        const trained: Adapter = { method, params: method.init({ model, key: 0 }) };
        const kept = method.finalize?.(trained.params, model.spec) ?? trained;
        return { trained: count(model, trained), kept: count(model, kept) };
      }),
  );

/** How many numbers of a fresh adapter train. */
export const trainableOf = (config: ModelConfig, made: Method | ((model: Model) => Method)): number =>
  countsOf(config, made).trained.trainable;

/** With the layer norms, as Houlsby and the Compacter family train. */
export const normed = (adapters: Method): Method => compose({ adapters, norms: layerNormTune() }) as Method;

/** Numbers that training changes, of a spec alone. */
export function trainableIn(spec: Spec, method: Method): number {
  const params = method.init({ model: { spec, backend: shapesOnly() } as Model, key: 0 });
  const n = leaves(trainable(params)).reduce((sum, [, t]) => sum + t.size, 0);
  dispose(params);
  return n;
}

/** Registers a test of counts; nothing stays behind. */
export function publishedCount(title: string, test: () => void): void {
  Deno.test(title, () => assertNoLeak(test));
}

/** What trains, of which model, and the percentage that a paper or the article prints. */
export type PrintedShare = readonly [
  what: string,
  trainable: number,
  base: PublishedModel,
  printed: string,
];

/** Registers a test: percentages that papers print are those of the worked counts, which other tests of the method count. */
export function printedShares(title: string, shares: readonly PrintedShare[]): void {
  Deno.test(`${title} has the percentages that papers print`, () => {
    for (const [what, n, base, printed] of shares) {
      const digits = printed.split(".")[1]!.length;
      assert.equal((100 * n / SIZES[base]).toFixed(digits), printed, what);
    }
  });
}

/** A spec of linear layers alone: attentions of a width, each with its query and value layer. */
export function attentionLayers(names: readonly string[], width: number): Spec {
  const linears = names.flatMap((name) =>
    (["query", "value"] as const).map((role): LinearPlace => ({
      kind: "linear",
      path: `${name}.${role}`,
      stack: "encoder",
      role,
      inFeatures: width,
      outFeatures: width,
      transposed: false,
      bias: false,
    }))
  );
  return {
    architecture: "shapes",
    linears,
    attentions: [],
    sublayers: [],
    blocks: [],
    norms: [],
    embeddings: [],
    heads: [],
    stacks: [],
  };
}

const layers = (n: number, name: string): readonly string[] =>
  Array.from({ length: n }, (_, i) => `${name}.${i}`);

/** Queries and values of T5-base: 12 encoder layers, 12 decoder layers with two attentions each. */
export const T5_BASE_LAYERS: Spec = attentionLayers(
  [...layers(12, "encoder"), ...layers(12, "decoder"), ...layers(12, "cross")],
  768,
);

/** Those of RoBERTa-base. */
export const ROBERTA_BASE_LAYERS: Spec = attentionLayers(layers(12, "layer"), 768);

/** Those of RoBERTa-large. */
export const ROBERTA_LARGE_LAYERS: Spec = attentionLayers(layers(24, "layer"), 1024);

/** One layer of 768 by 768. */
export const ONE_LAYER: Spec = { ...ROBERTA_BASE_LAYERS, linears: ROBERTA_BASE_LAYERS.linears.slice(0, 1) };

/** A spec of parts of BART-large: attentions of 16 heads, 64 wide, and one feed-forward part per block. */
export const BART_LARGE_PARTS: Spec = {
  ...attentionLayers([], 1024),
  attentions: (["encoder.self", "decoder.self", "decoder.cross"] as const).flatMap((kind) =>
    Array.from({ length: 12 }, (_, layer) => ({
      kind: "attention" as const,
      path: `${kind}.${layer}`,
      stack: kind.startsWith("e") ? "encoder" as const : "decoder" as const,
      layer,
      role: kind.endsWith("cross") ? "cross" as const : "self" as const,
      heads: 16,
      keyValueHeads: 16,
      headDim: 64,
    }))
  ),
  sublayers: (["encoder", "decoder"] as const).flatMap((stack) =>
    Array.from({ length: 12 }, (_, layer) => ({
      kind: "sublayer" as const,
      path: `${stack}.ffn.${layer}`,
      stack,
      layer,
      role: "feedForward" as const,
      width: 1024,
    }))
  ),
};

/**
 * A deeper model built from a model's blocks, some of them repeated (PEFT's `layer_replication`; SOLAR's
 * depth up-scaling, arXiv 2312.15166):
 *
 *   blocks of the result = blocks[s₁ … e₁ − 1], blocks[s₂ … e₂ − 1], …      ranges [sᵢ, eᵢ)
 *
 * Copies share their weights. Each has separate places, so adapters and cached keys of one copy do not affect
 * another.
 */
import { allEdits, type Branch, lookup, type Model, type ModelConfig, updateBranch } from "../core/mod.ts";
import { architectureOf } from "./architecture.ts";
import { gemmaConfig } from "./gemma_config.ts";
import { llamaConfig } from "./llama_config.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** Blocks from `start` up to `end`, exclusive. */
export type LayerRange = readonly [start: number, end: number];

/**
 * The model whose blocks are those of the ranges, concatenated. It shares every weight and owns none: dispose
 * the base when neither is needed any more. Adapters for it can be saved for PEFT, which records the ranges;
 * `saveModel` writes it as a separate checkpoint, in which each copy has its own weights.
 *
 * @throws {RangeError} when a range is empty or exceeds the model's blocks, or the model has two stacks.
 * @throws {TypeError} when an adapter is grafted.
 * @example
 * ```ts
 * import { freshModel, lookup, reference, replicateLayers, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const deeper = replicateLayers(model, [[0, 2], [1, 2]]); // 0, 1, 1
 * assert.equal(deeper.spec.blocks.length, 3);
 * assert.equal(
 *   lookup(deeper.weights, "model.layers.2.mlp.up_proj.weight"),
 *   lookup(model.weights, "model.layers.1.mlp.up_proj.weight"),
 * );
 * ```
 */
export function replicateLayers<M extends Model>(model: M, ranges: readonly LayerRange[]): M {
  const { spec, weights } = model;
  const [first] = spec.blocks;
  if (spec.stacks.length !== 1 || first === undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot replicate layers of ${spec.architecture}: it has ${spec.stacks.length} stacks`,
    );
  }
  const [edit] = allEdits(weights);
  if (edit !== undefined) {
    throw typeError(
      "INVALID_ARGUMENT",
      `Cannot replicate layers: an adapter is grafted at "${edit.path}"; replicate first and graft it then`,
    );
  }
  const chosen = numbersOf(ranges, spec.blocks.length);
  const config = withBlocks(model.config, chosen);
  const list = first.path.replace(/\.0$/, "");
  const blocks = lookup(weights, list) as Branch;
  const next = architectureOf(config).spec;
  return {
    ...model,
    config,
    spec: {
      ...next,
      blocks: next.blocks.map((block, i) => {
        const { of = chosen[i]! } = spec.blocks[chosen[i]!]!;
        return { ...block, of };
      }),
    },
    weights: updateBranch(
      weights,
      list,
      () => Object.fromEntries(chosen.map((n, i) => [String(i), blocks[String(n)]!])),
    ),
    dispose: () => {},
  };
}

function numbersOf(ranges: readonly LayerRange[], blocks: number): readonly number[] {
  const wrong = ranges.find(([start, end]) =>
    !Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end <= start || end > blocks
  );
  if (wrong !== undefined || ranges.length === 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected ranges [start, end) of the model's ${blocks} layers, with start < end, but found ${
        JSON.stringify(wrong ?? ranges)
      }`,
    );
  }
  return ranges.flatMap(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i));
}

/**
 * The config of a model with these blocks. Each keeps the sliding window and rotary positions of its
 * original.
 */
function withBlocks(config: ModelConfig, chosen: readonly number[]): ModelConfig {
  const { layer_types: _, no_rope_layers: __, ...rest } = config;
  const counted = (name: string): ModelConfig => ({ ...rest, [name]: chosen.length });
  const types = (windows: readonly number[]) => ({
    layer_types: chosen.map((n) => windows[n]! > 0 ? "sliding_attention" : "full_attention"),
  });
  switch (config.model_type) {
    case "gpt2":
      return counted("n_layer");
    case "qwen2":
    case "qwen3":
    case "smollm3": {
      const { windows, rotary } = llamaConfig(config);
      return {
        ...counted("num_hidden_layers"),
        ...types(windows),
        ...config.model_type === "smollm3" && { no_rope_layers: chosen.map((n) => Number(rotary[n])) },
      };
    }
    case "gemma3_text":
      return { ...counted("num_hidden_layers"), ...types(gemmaConfig(config).windows) };
    default:
      return counted("num_hidden_layers");
  }
}

/**
 * The ranges from which a model was built out of another's blocks, with adjacent ones merged; undefined for
 * other models.
 *
 * @example
 * ```ts
 * import { freshModel, reference, replicateLayers, smallConfig } from "@graft/peft";
 * import { replicatedRanges } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(replicatedRanges(model), undefined);
 * const deeper = replicateLayers(model, [[0, 1], [1, 2], [0, 2]]);
 * assert.deepEqual(replicatedRanges(deeper), [[0, 2], [0, 2]]);
 * ```
 */
export function replicatedRanges({ spec }: Pick<Model, "spec">): readonly LayerRange[] | undefined {
  const numbers = spec.blocks.flatMap(({ of }) => of === undefined ? [] : [of]);
  return numbers.length < spec.blocks.length || numbers.length === 0 ? undefined : rangesOf(numbers);
}

/** Runs of consecutive numbers, as ranges. */
function rangesOf(numbers: readonly number[]): readonly LayerRange[] {
  const starts = numbers.flatMap((n, i) => i === 0 || n !== numbers[i - 1]! + 1 ? [i] : []);
  return starts.map((from, i) => {
    const to = starts[i + 1] ?? numbers.length;
    return [numbers[from]!, numbers[to - 1]! + 1] as const;
  });
}

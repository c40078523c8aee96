/** A model without data, for planning, from a checkpoint's headers or a config alone. */
import {
  allocate,
  castWeightShape,
  type DType,
  isQuantized,
  isStoredTransposed,
  type Model,
  type ModelConfig,
  newModel,
  quantizationPlan,
  type Spec,
  type Tensor,
} from "../core/mod.ts";
import { openCheckpoint } from "../formats/checkpoint.ts";
import { withRopeScaling } from "../formats/rope_config.ts";
import { architectureOf, taskConfig } from "../models/mod.ts";
import { shapesOnly } from "../ops/mod.ts";
import type { LoadOptions } from "./load_model.ts";
import { missingHead, otherClasses } from "./task_head.ts";

/** How the weights would be loaded. */
export type ShapeOptions = Pick<LoadOptions, "dtype" | "quantize" | "task">;

/**
 * The model that `loadModel` would load, on a backend that only counts. Reads the headers of a local folder
 * or GGUF file, never the weights.
 *
 * @throws as `loadModel`.
 * @example
 * ```ts
 * import { adapt, count, fullFineTune } from "@graft/peft";
 * import { checkpointShapes } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const model = checkpointShapes("embedded/model"); // a folder or a .gguf file
 * assert.equal(model.backend.name, "shapes");
 * assert.equal(count(model, adapt(model, fullFineTune())).base, 2_164_416);
 * ```
 */
export function checkpointShapes(path: string, options: ShapeOptions = {}): Model {
  const checkpoint = openCheckpoint(path);
  try {
    const config = withTask(checkpoint.config as ModelConfig, options);
    const { weightPath } = architectureOf(config);
    const stored = [...checkpoint.tensors.tensors.values()].flatMap(({ name, shape, dtype }) => {
      const leaf = weightPath(name);
      return leaf === undefined ? [] : [[leaf, shape, dtype] as const];
    });
    return withShapes(config, stored, options, path);
  } finally {
    checkpoint.tensors.close();
  }
}

/**
 * A model from a config alone, with matrices in its `torch_dtype` (default bf16).
 *
 * @throws {RangeError} when the architecture is not supported.
 * @example
 * ```ts
 * import { adapt, count, lora } from "@graft/peft";
 * import { configShapes } from "@graft/peft/io";
 * import assert from "node:assert/strict";
 * const model = configShapes({ // 7 billion weights, and no memory for them
 *   model_type: "llama", vocab_size: 32000, hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32,
 *   num_attention_heads: 32,
 * });
 * assert.equal(count(model, adapt(model, lora({ rank: 8 }))).trainable, 32 * 2 * 8 * (4096 + 4096));
 * ```
 */
export function configShapes(given: ModelConfig, options: ShapeOptions = {}): Model {
  const config = withTask(withRopeScaling(given) as ModelConfig, options);
  const { spec } = architectureOf(config);
  const named = config["dtype"] ?? config["torch_dtype"];
  const dtype = named === "float32" ? "f32" : named === "float16" ? "f16" : "bf16";
  const stored = [
    ...spec.linears.flatMap(({ path, inFeatures: n, outFeatures: m, transposed, bias }) => [
      [`${path}.weight`, transposed ? [n, m] : [m, n], dtype] as const,
      ...bias ? [[`${path}.bias`, [m], dtype] as const] : [],
    ]),
    ...spec.norms.flatMap(({ path, width, bias }) => [
      [`${path}.weight`, [width], dtype] as const,
      ...bias ? [[`${path}.bias`, [width], dtype] as const] : [],
    ]),
    ...spec.embeddings.map(({ path, rows, width }) => [`${path}.weight`, [rows, width], dtype] as const),
    ...spec.heads.flatMap(({ path, inFeatures: n, outFeatures: m, bias, tiedTo }) => [
      ...tiedTo === undefined ? [[`${path}.weight`, [m, n], dtype] as const] : [],
      ...bias ? [[`${path}.bias`, [m], dtype] as const] : [],
    ]),
  ];
  return withShapes(config, stored, options, undefined);
}

function withShapes(
  config: ModelConfig,
  stored: readonly (readonly [path: string, shape: readonly number[], dtype: DType])[],
  { dtype, quantize, task }: ShapeOptions,
  source: string | undefined,
): Model {
  const backend = shapesOnly();
  const { architecture, spec } = architectureOf(config);
  const plan = quantize && quantizationPlan(spec, quantize);
  const tied = tiedHeads(spec);
  const own = stored.filter(([path, shape]) =>
    !tied.has(path) && !(task !== undefined && otherClasses(spec, path, shape))
  );
  const weights = own.map(([path, shape, as]): readonly [string, Tensor] => {
    const plain = shape.length < 2 ? "f32" : dtype === undefined || isQuantized(as) ? as : dtype;
    const kept = plan?.get(path) ?? plain;
    const inOut = isStoredTransposed(spec, path);
    return [path, allocate(backend, castWeightShape({ shape, dtype: as }, kept, inOut), kept)];
  });
  if (task !== undefined) weights.push(...missingHead(spec, weights, backend, 0));
  return newModel({ architecture, spec, config, weights, backend, ...source !== undefined && { source } });
}

const withTask = (config: ModelConfig, { task }: ShapeOptions): ModelConfig =>
  task === undefined ? config : taskConfig(config, task);

const tiedHeads = (spec: Spec): ReadonlySet<string> =>
  new Set(spec.heads.filter((head) => head.tiedTo !== undefined).map((head) => `${head.path}.weight`));

/** Models with random weights, for pretraining and tests. */
import {
  type Backend,
  castTo,
  checkQuantization,
  type DType,
  fold,
  type Key,
  key as keyOf,
  type Model,
  type ModelConfig,
  newModel,
  quantizationPlan,
  type QuantizeOptions,
  scope,
  type Spec,
  type Synchronous,
  type Tensor,
  type TextCodec,
} from "../core/mod.ts";
import { normal, ones, zeros } from "../ops/mod.ts";
import { architectureOf } from "./architecture.ts";

/** The backend, the seed and further options. */
export interface FreshOptions<C extends TextCodec> {
  /** Where it computes. */
  readonly backend: Backend;
  /** Seed or key of the random numbers. */
  readonly key: Key | number;
  /** Standard deviation of matrices, default 0.02. */
  readonly deviation?: number;
  /**
   * Quantizes each weight as it is created, so that the whole model is never in memory unquantized. Options
   * as for `quantize`.
   */
  readonly quantize?: QuantizeOptions;
  /** Text to ids and back. */
  readonly tokenizer?: C;
}

/**
 * A model of a config with random weights, initialized like GPT-2 (Radford et al. 2019): matrices normal,
 * those that write to the residual stream smaller by √(2 · layers); norms one; biases zero.
 *
 * @throws {RangeError} when the architecture is not known.
 * @example
 * ```ts
 * import { forward, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(forward(model, { inputIds: [[1, 2, 3]] }).logits.shape, [1, 3, 32]);
 * ```
 */
export function freshModel<C extends TextCodec>(config: ModelConfig, options: FreshOptions<C>): Model<C> {
  const { architecture, spec } = architectureOf(config);
  const stored = options.quantize && quantizationPlan(spec, options.quantize);
  return newModel({
    architecture,
    spec,
    config,
    weights: freshWeights(spec, () => true, { ...options, ...stored && { stored } }),
    backend: options.backend,
    ...options.tokenizer !== undefined && { tokenizer: options.tokenizer },
  });
}

/** How leaves are created: the options of a model, with the dtypes of leaves that are not stored as f32. */
export interface FreshWeightsOptions extends Pick<FreshOptions<TextCodec>, "backend" | "key" | "deviation"> {
  /** Dtypes by path. */
  readonly stored?: ReadonlyMap<string, DType>;
}

/**
 * Random leaves of a spec's places, those whose paths are requested. Each is determined by the key and its
 * path alone.
 *
 * @example
 * ```ts
 * import { reference, smallConfig } from "@graft/peft";
 * import { freshWeights, llamaSpec } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const spec = llamaSpec(smallConfig("llama"));
 * const weights = freshWeights(spec, (path) => path.endsWith("down_proj.weight"), { backend: reference(), key: 0 });
 * assert.deepEqual(weights.map(([, { shape }]) => shape), [[16, 32], [16, 32]]); // [out, in]
 * ```
 */
export function freshWeights(
  spec: Spec,
  wanted: (path: string) => boolean,
  { backend, key, deviation = 0.02, stored }: FreshWeightsOptions,
): readonly (readonly [path: string, leaf: Tensor])[] {
  type Leaf = readonly [path: string, make: () => Tensor];
  const seed = keyOf(key);
  const layers = Math.max(1, ...spec.stacks.map((stack) => stack.layers));
  const matrix = (path: string, shape: readonly number[], scale = 1): Leaf => [
    `${path}.weight`,
    () => normal(fold(seed, `${path}.weight`), shape, backend, deviation * scale),
  ];
  const bias = (path: string, n: number): Leaf => [`${path}.bias`, () => zeros([n], backend)];
  const all: readonly Leaf[] = [
    ...spec.linears.flatMap(({ path, inFeatures: n, outFeatures: m, transposed, role, ...place }) => {
      const scale = role === "output" || role === "down" ? 1 / Math.sqrt(2 * layers) : 1;
      return [matrix(path, transposed ? [n, m] : [m, n], scale), ...place.bias ? [bias(path, m)] : []];
    }),
    ...spec.norms.flatMap(({ path, width, neutral = 1, ...place }): readonly Leaf[] => [
      [`${path}.weight`, () => neutral === 0 ? zeros([width], backend) : ones([width], backend)],
      ...place.bias ? [bias(path, width)] : [],
    ]),
    ...spec.embeddings.map(({ path, rows, width }) => matrix(path, [rows, width])),
    ...spec.heads.flatMap(({ path, inFeatures: n, outFeatures: m, tiedTo, ...place }) => [
      ...tiedTo === undefined ? [matrix(path, [m, n])] : [],
      ...place.bias ? [bias(path, m)] : [],
    ]),
  ];
  return scope((): Synchronous<readonly (readonly [string, Tensor])[]> =>
    all.filter(([path]) => wanted(path)).map(([path, make]) => {
      const dtype = stored?.get(path) ?? "f32";
      return [path, dtype === "f32" ? make() : quantized(path, make, dtype)] as const;
    })
  );
}

function quantized(path: string, make: () => Tensor, dtype: DType): Tensor {
  return scope((): Synchronous<Tensor> => {
    const made = make();
    checkQuantization(path, made, dtype, false);
    return castTo(made, dtype);
  });
}

/**
 * Paths of the leaves of a head: those outside the blocks that do not belong to an embedding or the last norm
 * of a stack.
 *
 * @example
 * ```ts
 * import { smallConfig } from "@graft/peft";
 * import { bertSpec, headLeaves, taskConfig } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const spec = bertSpec(taskConfig(smallConfig("bert"), { kind: "classify", names: ["bad", "good"] }));
 * assert.ok(headLeaves(spec).has("classifier.weight"));
 * assert.ok(!headLeaves(spec).has("bert.encoder.layer.0.output.dense.weight"));
 * ```
 */
export function headLeaves(spec: Spec): ReadonlySet<string> {
  const inStack = (path: string): boolean =>
    spec.stacks.some((stack) => path.startsWith(stack.entrance) || path.startsWith(`${stack.path}.final`));
  const places = [...spec.linears, ...spec.norms, ...spec.heads]
    .filter((place) => place.layer === undefined && !inStack(place.path));
  return new Set(places.flatMap(({ path }) => [`${path}.weight`, `${path}.bias`]));
}

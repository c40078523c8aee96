/** Models with random weights, for pretraining and tests. */
import {
  type Backend,
  fold,
  type Key,
  key as keyOf,
  type Model,
  type ModelConfig,
  newModel,
  scope,
  type Synchronous,
  type Tensor,
  type TextCodec,
} from "../core/mod.ts";
import { normal, ones, zeros } from "../ops/mod.ts";
import { architectureOf } from "./architecture.ts";

/** Where and from which seed. */
export interface FreshOptions<C extends TextCodec> {
  readonly backend: Backend;
  readonly key: Key | number;
  /** Standard deviation of matrices, default 0.02. */
  readonly deviation?: number;
  readonly tokenizer?: C;
}

/**
 * A model of a config with fresh weights, as GPT-2 starts (Radford et al. 2019): matrices normal, those that write into
 * the residual stream smaller by √(2 · layers); norms one; biases zero.
 *
 * @throws {RangeError} when the architecture is not known.
 */
export function freshModel<C extends TextCodec>(config: ModelConfig, options: FreshOptions<C>): Model<C> {
  const { backend, deviation = 0.02 } = options;
  const { architecture, spec } = architectureOf(config);
  const key = keyOf(options.key);
  const layers = spec.stacks[0]!.layers;
  const matrix = (path: string, shape: readonly number[], scale = 1): readonly [string, Tensor] => [
    path,
    normal(fold(key, path), shape, backend, deviation * scale),
  ];
  const weights = scope((): Synchronous<readonly (readonly [string, Tensor])[]> => [
    ...spec.linears.flatMap((place) => {
      const { path, inFeatures: n, outFeatures: m, transposed, bias, role } = place;
      const scale = role === "output" || role === "down" ? 1 / Math.sqrt(2 * layers) : 1;
      return [
        matrix(`${path}.weight`, transposed ? [n, m] : [m, n], scale),
        ...bias ? [[`${path}.bias`, zeros([m], backend)] as const] : [],
      ];
    }),
    ...spec.norms.flatMap(({ path, width, bias }) => [
      [`${path}.weight`, ones([width], backend)] as const,
      ...bias ? [[`${path}.bias`, zeros([width], backend)] as const] : [],
    ]),
    ...spec.embeddings.map(({ path, rows, width }) => matrix(`${path}.weight`, [rows, width])),
    ...spec.heads.flatMap(({ path, inFeatures: n, outFeatures: m, bias, tiedTo }) => [
      ...tiedTo === undefined ? [matrix(`${path}.weight`, [m, n])] : [],
      ...bias ? [[`${path}.bias`, zeros([m], backend)] as const] : [],
    ]),
  ]);
  return newModel({
    architecture,
    spec,
    config,
    weights,
    backend,
    ...options.tokenizer !== undefined && { tokenizer: options.tokenizer },
  });
}

/**
 * C3A. Chen et al. 2024, "Parameter-Efficient Fine-Tuning via Circular Convolution", arXiv 2407.19342, section 3.
 *
 *   y = W x + b + 1/in C(w) x        w [out / c, in / c, c]
 *
 * C(w) consists of circulant blocks [c, c], whose first rows are w, so it can have full rank. The larger the
 * blocks, the fewer the parameters. The divisor is PEFT's. w starts uniform, so the model is initially
 * changed; "zeros" leaves it unchanged.
 */
import {
  type Backend,
  blockCirculant,
  byPattern,
  chooseTargets,
  fold,
  freshTargets,
  type Key,
  key as keyOf,
  type MatrixPlace,
  type Method,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { normal, uniform, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive } from "../shared/option_checks.ts";

/** Options of C3A. */
export interface C3aOptions extends TargetOptions {
  /** c, default 256. Divides the inputs and outputs of every layer. */
  readonly block?: number;
  /** c by pattern matching the end of the path; the first match applies. */
  readonly blockPattern?: Readonly<Record<string, number>>;
  /** Uniform in ±√(6 / (in + out)) ("xavier", default) or ±1/√in ("kaiming"), N(0, 1) ("normal"), or zero. */
  readonly initialization?: "xavier" | "kaiming" | "normal" | "zeros";
}

/**
 * C3A as a method. Parameters: `kernel` [out / c, in / c, c] under each layer's path.
 *
 * @throws {RangeError} when a block is not a positive integer or does not divide a layer's sizes, or targets
 * match nothing.
 * @example
 * ```ts
 * import { c3a } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(c3a({ block: 64 }).name, "c3a");
 * ```
 */
export function c3a(options: C3aOptions = {}): Method {
  checkPositive("block", options.block ?? 256);
  for (const [pattern, c] of Object.entries(options.blockPattern ?? {})) {
    checkPositive(`blockPattern "${pattern}"`, c);
  }
  return {
    name: "c3a",
    config: { ...options },
    init: ({ model, key }) =>
      freshParams(() =>
        freshTargets(model.spec, options).map((place) =>
          [
            `${place.path}.kernel`,
            fresh(place, options, fold(keyOf(key), place.path), model.backend),
          ] as const
        )
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map((place) => {
        const { kernel } = paramsAt(params, place.path) as { readonly kernel: Tensor };
        const map = blockCirculant(kernel, 1 / sizesOf(place).inFeatures);
        return { kind: "linear", path: place.path, change: { form: "add", map } };
      }),
  };
}

/**
 * The shape of a layer's kernels.
 *
 * @throws {RangeError} when the block does not divide the layer's sizes.
 * @example
 * ```ts
 * import { c3aShape, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.deepEqual(c3aShape(spec.linears[0]!, { block: 8 }), [2, 2, 8]); // of 16 · 16
 * assert.throws(() => c3aShape(spec.linears[0]!, { block: 5 }), /5 divides not both/);
 * ```
 */
export function c3aShape(place: MatrixPlace, options: C3aOptions): readonly [number, number, number] {
  const { inFeatures, outFeatures } = sizesOf(place);
  const c = byPattern(options.blockPattern, place.path, options.block ?? 256);
  if (inFeatures % c !== 0 || outFeatures % c !== 0) {
    throw new RangeError(
      `Cannot put circulant blocks on "${place.path}" [${outFeatures}, ${inFeatures}]: ${c} divides not both sizes`,
    );
  }
  return [outFeatures / c, inFeatures / c, c];
}

function fresh(place: MatrixPlace, options: C3aOptions, key: Key, backend: Backend): Tensor {
  const shape = c3aShape(place, options);
  const { inFeatures, outFeatures } = sizesOf(place);
  const within = (bound: number): Tensor => uniform(key, shape, backend, -bound, bound);
  switch (options.initialization ?? "xavier") {
    case "xavier":
      return within(Math.sqrt(6 / (inFeatures + outFeatures)));
    case "kaiming":
      return within(1 / Math.sqrt(inFeatures));
    case "normal":
      return normal(key, shape, backend);
    case "zeros":
      return zeros(shape, backend);
  }
}

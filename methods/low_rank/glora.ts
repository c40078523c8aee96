/**
 * GLoRA. Chavan, Liu, Gupta, Xing and Shen 2023, "One-for-All: Generalized LoRA for Parameter-Efficient Fine-tuning",
 * arXiv 2306.07967, equation 10.
 *
 *   y = (W + W ∘ A + B) x + b + b ∘ D + E + W C        A, B [out, in]   C [in]   D, E [out]
 *
 * Each of the five is a product of rank r, one number per output (per input for C), a single number, or
 * absent; as in the authors' code A multiplies W elementwise. C, D and E apply to layers that have a bias, as
 * in PEFT. All start at zero. The paper's evolutionary search chooses the forms of the five for each layer:
 * that is a search over these options.
 */
import {
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  freshTargets,
  type Key,
  key as keyOf,
  type LinearEdit,
  type MatrixPlace,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { oneOf, option } from "../../core/options/mod.ts";
import { add, addAll, matmul, multiply, reshape, uniform, zeros } from "../../ops/mod.ts";
import { rankSchema, TARGETS } from "../shared/target_options.ts";
import { checkNotEmbedding } from "../shared/not_embedding.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rangeError } from "../../errors/error.ts";

/** Forms of a matrix: a product of rank r, one number per output, a single number, or nothing. */
export type GloraMatrix = "lowRank" | "vector" | "constant" | "none";

/** Options of GLoRA. */
export interface GloraOptions extends TargetOptions {
  /** r, default 8. */
  readonly rank?: number;
  /** A, which scales W. Default "lowRank". */
  readonly a?: GloraMatrix;
  /** B, which is added to W. Default "lowRank". */
  readonly b?: GloraMatrix;
  /** C, which W maps to a bias. Default "lowRank". */
  readonly c?: Exclude<GloraMatrix, "constant">;
  /** D, which scales the bias. Default "constant". */
  readonly d?: Exclude<GloraMatrix, "lowRank">;
  /** E, which is added to the bias. Default "constant". */
  readonly e?: Exclude<GloraMatrix, "lowRank">;
  /** All zero ("default"), or random ("none", for tests). */
  readonly initialization?: "default" | "none";
}

/** The five, in the equation's letters. */
export type GloraPart = "a" | "b" | "c" | "d" | "e";

const PARTS: readonly GloraPart[] = ["a", "b", "c", "d", "e"];

/**
 * GLoRA as a method. Parameters under each layer's path: `a.down` [out, r] and `a.up` [r, in], or `a.x` [out,
 * 1] or [1], and likewise for the others: `c.down` [in, r], `c.up` [r, 1] or `c.x` [in, 1]; `d.x` and `e.x`
 * [out] or [1].
 *
 * @throws {RangeError} when the rank is not a positive integer, all five are absent, or targets match
 * nothing; at init, when a target is an embedding.
 * @example
 * ```ts
 * import { adapt, count, freshModel, glora, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, glora({ a: "vector", b: "none", targets: ["q_proj"] }));
 * assert.equal(count(model, adapter).trainable, 2 * 16); // a number for each output of two layers without biases
 * ```
 */
export const glora: DefinedMethod<GloraOptions> = defineMethod<GloraOptions>({
  name: "glora",
  summary: "Scales and shifts weights and biases, each by a low-rank matrix, a vector or a number.",
  facts: { parameters: "2 r (in + out), with a bias r (in + 1) + 2 more", merges: "yes" },
  title: "GLoRA",
  options: {
    ...TARGETS,
    rank: option(rankSchema, "r, of the parts of low rank", 8),
    a: option(oneOf("lowRank", "vector", "constant", "none"), "A, which scales W", "lowRank"),
    b: option(oneOf("lowRank", "vector", "constant", "none"), "B, which is added to W", "lowRank"),
    c: option(oneOf("lowRank", "vector", "none"), "C, which W maps to a bias", "lowRank"),
    d: option(oneOf("vector", "constant", "none"), "D, which scales the bias", "constant"),
    e: option(oneOf("vector", "constant", "none"), "E, which is added to the bias", "constant"),
    initialization: option(oneOf("default", "none"), "all at zero, or random, for tests", "default"),
  },
  create: (options) => {
    if (PARTS.every((part) => formOf(part, options) === "none")) {
      throw rangeError("INVALID_ARGUMENT", "Expected one of a, b, c, d and e to be something but found none");
    }
    return {
      init: ({ model, key }) =>
        freshParams(() =>
          freshTargets(model.spec, options).flatMap((place) =>
            Object.entries(gloraShapes(place, options)).map(([name, shape]) => {
              const path = `${place.path}.${name}`;
              return [path, fresh(name, shape, options, fold(keyOf(key), path), model)] as const;
            })
          )
        ),
      edits: (params, spec) =>
        chooseTargets(spec, options).flatMap((place) =>
          Object.keys(gloraShapes(place, options)).length === 0
            ? []
            : [generalized(place, paramsAt(params, place.path) as Tree)]
        ),
    };
  },
  cli: { rate: 5e-4, flags: ["rank", "targets"] },
  published: { setting: "r 8 on q and v" },
});

const formOf = (part: GloraPart, options: GloraOptions): GloraMatrix =>
  options[part] ?? (part === "d" || part === "e" ? "constant" : "lowRank");

/**
 * Shapes of a layer's parameters by name.
 *
 * @throws {RangeError} when the layer is an embedding.
 * @example
 * ```ts
 * import { freshModel, gloraShapes, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("gpt2"), { backend: reference(), key: 0 });
 * const shapes = gloraShapes(spec.linears[0]!, { rank: 2, a: "vector", b: "none", e: "none" }); // 16 to 48
 * assert.deepEqual(shapes, { "a.x": [48, 1], "c.down": [16, 2], "c.up": [2, 1], "d.x": [1] });
 * ```
 */
export function gloraShapes(
  place: MatrixPlace,
  options: GloraOptions,
): Readonly<Record<string, readonly number[]>> {
  checkNotEmbedding("glora", place);
  const { inFeatures, outFeatures } = sizesOf(place);
  const r = options.rank ?? 8;
  const of = (part: GloraPart): Readonly<Record<string, readonly number[]>> => {
    const [rows, columns] = part === "c" ? [inFeatures, 1] : [outFeatures, inFeatures];
    const form = formOf(part, options);
    switch (form) {
      case "lowRank":
        return { [`${part}.down`]: [rows, r], [`${part}.up`]: [r, columns] };
      case "vector":
        return { [`${part}.x`]: part === "d" || part === "e" ? [rows] : [rows, 1] };
      case "constant":
        return { [`${part}.x`]: [1] };
      case "none":
        return {};
      default:
        return form satisfies never;
    }
  };
  const used = place.bias ? PARTS : PARTS.slice(0, 2);
  return Object.assign({}, ...used.map(of));
}

type Values = { readonly [name: string]: Tensor | undefined };

/** A matrix or vector that broadcasts against what it changes; undefined where absent. */
function valueOf(part: Values | undefined): Tensor | undefined {
  return part?.["x"] ?? (part && matmul(part["down"]!, part["up"]!));
}

/** W ∘ A + B for the matrix so far. */
function matrixChange({ a, b }: Tree, w: Tensor): Tensor | undefined {
  const [scale, shift] = [valueOf(a as Values | undefined), valueOf(b as Values | undefined)];
  const scaled = scale && multiply(w, scale);
  return scaled && shift ? add(scaled, shift) : scaled ?? (shift && add(zeros(w.shape, w.backend), shift));
}

/** b ∘ D + E + W C for the layer so far. */
function biasChange({ c, d, e }: Tree, w: Tensor, bias: Tensor): Tensor | undefined {
  const [into, scale, shift] = [c, d, e].map((part) => valueOf(part as Values | undefined));
  const terms = [
    ...into ? [reshape(matmul(w, into), [-1])] : [],
    ...scale ? [multiply(bias, scale)] : [],
    ...shift ? [add(zeros(bias.shape, bias.backend), shift)] : [],
  ];
  return terms.length === 0 ? undefined : addAll(terms);
}

function generalized(place: MatrixPlace, params: Tree): LinearEdit {
  const added = (t: Tensor, change: Tensor | undefined): Tensor => change === undefined ? t : add(t, change);
  return {
    kind: "linear",
    path: place.path,
    change: {
      form: "delta",
      reads: "input",
      delta: fn(params, (params, call) => {
        const w = call.weight();
        const matrix = matrixChange(params, w);
        const bias = call.bias && biasChange(params, w, call.bias);
        const y = matrix && matmul(call.x, matrix, { transposeB: true });
        return y && bias ? add(y, bias) : y ?? add(zeros(call.y.shape, w.backend), bias!);
      }),
      weight: fn(params, (params, { weight }) => added(weight, matrixChange(params, weight))),
      ...["c", "d", "e"].some((part) => params[part] !== undefined) && {
        bias: fn(params, (params, { weight, bias }) => added(bias!, biasChange(params, weight, bias!))),
      },
    },
  };
}

/** Zero, except `up`, which is initialized like a linear layer; or PEFT's random initialization for tests. */
function fresh(
  name: string,
  shape: readonly number[],
  { initialization = "default" }: GloraOptions,
  key: Key,
  { backend }: { readonly backend: Tensor["backend"] },
): Tensor {
  if (initialization === "default" && !name.endsWith("up")) return zeros(shape, backend);
  const bound = 1 / Math.sqrt(shape[shape.length - 1]!);
  return uniform(key, shape, backend, -bound, bound);
}

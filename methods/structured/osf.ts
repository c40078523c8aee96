/**
 * OSF. Nayak et al. 2025, "Sculpting Subspaces: Constrained Full Fine-Tuning in LLMs for Continual Learning", arXiv 2504.07097.
 *
 *   y = (U_h S_h V_h + U S V) x + b        U_h, S_h, V_h the k leading singular triples of W, which stay fixed
 *   U, S, V start at the others, U_l, S_l, V_l; written as an update: ΔW = U S V − U_l S_l V_l
 *   ∇U ← (I − U_h U_hᵀ) ∇U        ∇V ← ∇V (I − V_hᵀ V_h)
 *
 * Knowledge of earlier tasks is in the leading triples, so new tasks are learned orthogonally to them. The
 * gradients are projected, as in the authors' code and in PEFT; the optimizer's updates may leave the
 * subspace. The paper chooses k for each layer by how much the layer changes its input; here it is one share
 * or one number for all layers.
 */
import {
  adapt,
  chooseTargets,
  type DefinedMethod,
  defineMethod,
  detach,
  freshTargets,
  type LinearMap,
  lowRank,
  matrixAt,
  type MatrixPlace,
  paramsAt,
  sizesOf,
  type Tensor,
} from "../../core/mod.ts";
import { made, option } from "../../core/options/mod.ts";
import { add, matmul, multiply, reshape, subtract } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { TARGETS } from "../shared/target_options.ts";
import {
  type LayerSplit,
  preservedRank,
  preservedSchema,
  type SingularSplit,
  singularSplit,
  type SingularSplitOptions,
  splitAt,
} from "./singular_split.ts";

/** Options of OSF. */
export interface OsfOptions extends SingularSplitOptions {
  /**
   * The result of `singularSplit` for these options: needed on a GPU, which has no decomposition. Default:
   * decompose at init.
   */
  readonly split?: SingularSplit | undefined;
}

/** One layer's parameters: u [out, n], s [n], v [n, in], and the split they started from. */
export type OsfParams = {
  readonly u: Tensor;
  readonly s: Tensor;
  readonly v: Tensor;
  readonly frozen: LayerSplit;
};

/**
 * OSF as a method. Parameters under each layer's path: `u` [out, n], `s` [n], `v` [n, in], n = min(out, in) −
 * k; and their frozen initial values, `frozen.u`, `frozen.s`, `frozen.v`, and `frozen.high.u` or `.v` where a
 * matrix is not square.
 *
 * @throws {RangeError} at init, when k leaves a layer nothing to train, a target is an embedding, or targets
 * match nothing.
 * @throws {TypeError} at init on a GPU without `split`.
 * @example
 * ```ts
 * import { adapt, count, freshModel, osf, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, osf({ preserved: 12, targets: ["q_proj"] }));
 * assert.equal(count(model, adapter).trainable, 2 * 4 * (16 + 16 + 1)); // 4 triples of two layers
 * ```
 */
export const osf: DefinedMethod<OsfOptions> = defineMethod<OsfOptions>({
  name: "osf",
  summary: "Trains each weight's small singular triples, orthogonally to the large ones.",
  facts: { parameters: "(min(in, out) − k) (in + out + 1)", merges: "yes" },
  title: "OSF",
  options: {
    ...TARGETS,
    preserved: option(
      preservedSchema,
      "k, how many leading triples stay, or below 1 the share of the smaller size",
      0.5,
    ),
    split: option(made<SingularSplit>("what singularSplit gives"), "the split, where it is made beforehand"),
  },
  create: ({ split, ...options }) => ({
    init: ({ model }) =>
      freshParams(() =>
        freshTargets(model.spec, options).flatMap((place) => {
          const k = preservedRank(place, options);
          const { u, s, v, high } = split?.[place.path] ?? splitAt(matrixAt(model, place), k);
          const frozen = { u, s, v, ...high.u && { "high.u": high.u }, ...high.v && { "high.v": high.v } };
          return [
            ...Object.entries({ u, s, v }).map(([name, t]) =>
              [`${place.path}.${name}`, multiply(t, 1)] as const
            ),
            ...Object.entries(frozen).map(([name, t]) => [`${place.path}.frozen.${name}`, t] as const),
          ];
        })
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map((place) => ({
        kind: "linear",
        path: place.path,
        change: { form: "add", map: update(place, paramsAt(params, place.path) as OsfParams) },
      })),
  }),
  recorded: ({ config: { split: _, ...config } }) => config,
  cli: { rate: 5e-5, flags: ["targets"] },
  // For a GPU, decomposed on the host.
  prepare: async ({ model, options, seed }) => {
    const split = await singularSplit(model, options as SingularSplitOptions);
    return { adapter: adapt(model, osf({ ...options, split }), seed) };
  },
  published: { setting: "the lower half of q and v" },
});

/** U S V − U_l S_l V_l. */
function update(place: MatrixPlace, { u, s, v, frozen }: OsfParams): LinearMap {
  const { inFeatures, outFeatures } = sizesOf(place);
  const product = (u: Tensor, s: Tensor, v: Tensor): LinearMap =>
    lowRank(multiply(v, reshape(s, [-1, 1])), u, 1);
  const { high } = frozen as { readonly high?: LayerSplit["high"] };
  /** (I − U_h U_hᵀ) t */
  const left = (t: Tensor): Tensor =>
    high?.u === undefined
      ? matmul(frozen.u, matmul(frozen.u, t, { transposeA: true }))
      : subtract(t, matmul(high.u, matmul(high.u, t, { transposeA: true })));
  /** t (I − V_hᵀ V_h) */
  const right = (t: Tensor): Tensor =>
    high?.v === undefined
      ? matmul(matmul(t, frozen.v, { transposeB: true }), frozen.v)
      : subtract(t, matmul(matmul(t, high.v, { transposeB: true }), high.v));
  const now = (): LinearMap => product(withGradient(u, left), s, withGradient(v, right));
  const then = (): LinearMap => product(frozen.u, frozen.s, frozen.v);
  return {
    inFeatures,
    outFeatures,
    tensors: [u, s, v, frozen.u, frozen.s, frozen.v, ...high?.u ? [high.u] : [], ...high?.v ? [high.v] : []],
    cost: 2 * s.size * (inFeatures + outFeatures),
    apply: (x) => subtract(now().apply(x), then().apply(x)),
    weight: () => subtract(now().weight(), then().weight()),
    columns: (ids) => subtract(now().columns(ids), then().columns(ids)),
  };
}

/** t itself, with its gradient projected: P t + constant, for a symmetric P. */
function withGradient(t: Tensor, project: (t: Tensor) => Tensor): Tensor {
  const projected = project(t);
  return add(projected, detach(subtract(t, projected)));
}

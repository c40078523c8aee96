/**
 * PSOFT. Wu, Hu, Min and Wang 2025, "Efficient Orthogonal Fine-Tuning with Principal Subspace Adaptation", arXiv 2505.11235.
 *
 *   y = W (x + Vᵀ (M − I) V x) + b        W ≈ U S V, its r leading singular triples; V [r, in] frozen
 *   M = diag(β) R diag(α)                R = (I + Q) (I − Q)⁻¹, orthogonal; Q skew [r, r]
 *
 * The principal part U S V of the weight becomes U S M V, the rest is unchanged. Since U S = W Vᵀ, only V is
 * needed. The vectors α and β relax orthogonality while training. Q starts at zero, α and β at ones: the
 * model is initially unchanged.
 *
 * V comes from `principalSubspace`, computed once. PEFT recomputes it at every load, so its R fits only the
 * signs that LAPACK gave the singular vectors on the training machine; PEFT folders do not store them and
 * cannot be read here.
 */
import {
  adapt,
  chooseTargets,
  fn,
  leaves,
  type LinearChange,
  type LinearMap,
  type MatrixPlace,
  type Method,
  type MethodDefinition,
  type Model,
  paramsAt,
  type PassCall,
  sizesOf,
  type Spec,
  type Tensor,
  withinSubspace,
} from "../../core/mod.ts";
import {
  any,
  bounded,
  checkOptions,
  count,
  fields,
  type Filled,
  filled,
  given,
  oneOf,
  option,
  type OptionsOf,
  probability,
  seed,
} from "../../core/options/mod.ts";
import { cayley, cayleyNeumann, skewFromUpper } from "../../numerics/cayley.ts";
import {
  divide,
  dropout,
  identity,
  multiply,
  negate,
  ones,
  reshape,
  transpose,
  zeros,
} from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { rankSchema, TARGETS } from "../shared/target_options.ts";
import {
  type PrincipalSubspace,
  principalSubspace,
  type PrincipalSubspaceOptions,
} from "./principal_subspace.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of PSOFT. */
export interface PsoftOptions {
  /** V by layer's path, of one rank or several: the layers that are adapted. */
  readonly subspace: PrincipalSubspace;
  /**
   * R by the Cayley transform ("exact", default), by the first terms of its series, or "free": an
   * unconstrained trained matrix.
   */
  readonly rotation?: "exact" | { readonly terms: number } | "free";
  /** Which of α (before R) and β (after it) are used, default "both". */
  readonly vectors?: "both" | "before" | "after" | "none";
  /** Dropout probability of the subspace's input in training, default 0. */
  readonly dropout?: number;
}

/** One layer's tensors. */
type PsoftLayer = {
  readonly q?: Tensor;
  readonly r?: Tensor;
  readonly before?: Tensor;
  readonly after?: Tensor;
  readonly frozen: { readonly v: Tensor };
};

/**
 * PSOFT as a method. Parameters under each layer's path: `q` [r (r − 1) / 2], the skew matrix's upper
 * triangle (`r` [r, r] with "free"), `before` and `after` [r], and `frozen.v` [r, in].
 *
 * @throws {RangeError} when the subspace is empty or of rank 1, a number is out of range, or, at init, a
 * layer does not exist.
 * @example
 * ```ts
 * import { adapt, count, freshModel, principalSubspace, psoft, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const subspace = await principalSubspace(model, { rank: 4, targets: ["q_proj"] });
 * const adapter = adapt(model, psoft({ subspace }));
 * // In each of two layers 4 · 3 / 2 angles and two vectors.
 * assert.equal(count(model, adapter).trainable, 2 * (6 + 2 * 4));
 * ```
 */
export function psoft(options: PsoftOptions): Method {
  const { subspace, ...given } = options;
  checkOptions("psoft", given as Readonly<Record<string, unknown>>, psoftOptions);
  const own = filled(given as Readonly<Record<string, unknown>>, psoftOptions);
  const { rotation, vectors, dropout: rate } = own as Filled<typeof given>;
  const layers = Object.entries(subspace);
  if (layers.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Expected a subspace of at least one layer but found none");
  }
  for (const [path, { shape }] of layers) {
    if (shape.length !== 2 || shape[0]! < 2) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Expected the subspace of "${path}" to be [r, in] with r of 2 or more but found [${
          shape.join(", ")
        }]`,
      );
    }
  }
  return {
    definition: psoftDefinition,
    name: "psoft",
    config: { rotation, vectors, dropout: rate },
    init: ({ model: { spec, backend } }) =>
      freshParams(() =>
        layers.flatMap(([path, v]) => {
          checkLayer(spec, path, v);
          const r = v.shape[0]!;
          return [
            rotation === "free"
              ? [`${path}.r`, identity(r, backend)] as const
              : [`${path}.q`, zeros([r * (r - 1) / 2], backend)] as const,
            ...namesOf(vectors).map((name) => [`${path}.${name}`, ones([r], backend)] as const),
            [`${path}.frozen.v`, v] as const,
          ];
        })
      ),
    edits: (params) =>
      layers.map(([path]) => ({
        kind: "linear",
        path,
        change: change(paramsAt(params, path) as PsoftLayer, rotation, rate),
      })),
  };
}

/** What its options and those of its subspaces are in a run. */
type Start = PrincipalSubspaceOptions & Omit<PsoftOptions, "subspace">;

const psoftOptions: OptionsOf<Omit<PsoftOptions, "subspace">> = {
  rotation: option(
    any(oneOf("exact", "free"), fields<{ readonly terms: number }>({ terms: bounded(count, "terms") })),
    "R by Cayley's transform, by terms of its series, or a free matrix",
    "exact",
  ),
  vectors: option(oneOf("both", "before", "after", "none"), "which of α and β there are", "both"),
  dropout: option(probability, "dropout of the subspace's input in training", 0),
};

/** `psoft` in records and runs; its subspaces come from the weights, and are stored. */
export const psoftDefinition: MethodDefinition = {
  name: "psoft",
  summary: "Turns and scales each weight within its main singular subspace.",
  facts: { parameters: "r (r − 1) / 2 + 2 r", merges: "yes" },
  title: "PSOFT",
  options: psoftOptions,
  restore: (config, { params }) => {
    const end = ".frozen.v";
    const subspace = leaves(params).filter(([path]) => path.endsWith(end))
      .map(([path, v]) => [path.slice(0, -end.length), v] as const);
    return psoft({ ...config, subspace: Object.fromEntries(subspace) });
  },
  cli: {
    rate: 1e-3,
    flags: ["rank", "dropout", "targets"],
    options: ({ rank }, _, places) => ({ rank: rank ?? usualRank(places) }),
    also: {
      ...TARGETS,
      rank: option(rankSchema, "r, the rank of the subspaces; by default 32, or less in small layers"),
      svd: option(
        any(
          oneOf("exact"),
          fields<{ readonly iterations: number; readonly oversampling?: number }>({
            iterations: bounded(count, "terms"),
            "oversampling?": bounded(seed, "rank"),
          }),
        ),
        "the decomposition, exact or randomized",
        "exact",
      ),
    },
  },
  prepare: async ({ model, options, seed }) => {
    const { rotation, vectors, dropout, ...where } = options as Start;
    const subspace = await principalSubspace(model, where);
    return { adapter: adapt(model, psoft({ ...own({ rotation, vectors, dropout }), subspace }), seed) };
  },
  plan: ({ model, options }) => blank(model, options as Start),
  published: {
    setting: ({ spec }) => `r ${usualRank(chooseTargets(spec, {}))} on q and v`,
    make: (model) => blank(model, {}),
  },
};

/** PEFT's rank, or at most that of the smallest of the matrices. */
function usualRank(places: readonly MatrixPlace[]): number {
  const sizes = places.map(sizesOf).flatMap((s) => [s.inFeatures, s.outFeatures]);
  return Math.min(32, ...sizes);
}

/** The method from shapes alone. */
function blank({ spec, backend }: Model, { rotation, vectors, dropout, rank, ...where }: Start): Method {
  const places = chooseTargets(spec, where);
  const r = rank ?? usualRank(places);
  const subspace = Object.fromEntries(
    places.map((place) => [place.path, zeros([r, sizesOf(place).inFeatures], backend)]),
  );
  return psoft({ ...own({ rotation, vectors, dropout }), subspace });
}

const own = (options: Readonly<Record<string, unknown>>): Omit<PsoftOptions, "subspace"> => given(options);

const namesOf = (vectors: NonNullable<PsoftOptions["vectors"]>): readonly ("before" | "after")[] =>
  vectors === "both" ? ["before", "after"] : vectors === "none" ? [] : [vectors];

function checkLayer({ linears, heads }: Spec, path: string, v: Tensor): void {
  const place = [...linears, ...heads].find((place) => place.path === path);
  if (place?.inFeatures === v.shape[1]) return;
  throw rangeError(
    "METHOD_DOES_NOT_FIT",
    `Cannot put psoft on "${path}": ${
      place === undefined
        ? "the model has no such layer"
        : `its input has ${place.inFeatures} features and the subspace ${v.shape[1]}`
    }`,
  );
}

function change(
  layer: PsoftLayer,
  rotation: NonNullable<PsoftOptions["rotation"]>,
  rate: number,
): LinearChange {
  const { frozen: { v }, ...trained } = layer;
  const tensors = Object.values(trained);
  const n = v.shape[0]!;
  const within = (m: () => Tensor, own?: (x: Tensor) => Tensor): LinearMap =>
    withinSubspace(v, m, tensors, own);
  const forth = (): Tensor => scaled(rotated(trained, n, rotation), trained.after, trained.before);
  /** M⁻¹ = diag(1/α) Rᵀ diag(1/β). */
  const back = (): Tensor => {
    const [after, before] = [trained.before, trained.after].map((t) => t && divide(1, t));
    return scaled(transpose(rotated(trained, n, rotation)), after, before);
  };
  return {
    form: "input",
    map: within(forth),
    ...rotation === "exact" && { inverse: within(back) },
    ...rate > 0 && {
      dropped: fn(layer, (_, { key }: PassCall) => within(forth, (x) => dropout(x, rate, key!))),
    },
  };
}

/** R [n, n]. */
function rotated(
  { q, r }: Pick<PsoftLayer, "q" | "r">,
  n: number,
  rotation: NonNullable<PsoftOptions["rotation"]>,
): Tensor {
  if (rotation === "free") return r!;
  const skew = skewFromUpper(reshape(q!, [1, -1]), n);
  return reshape(
    rotation === "exact" ? cayley(negate(skew)) : cayleyNeumann(skew, rotation.terms),
    [n, n],
  );
}

/** diag(after) R diag(before). */
function scaled(r: Tensor, after: Tensor | undefined, before: Tensor | undefined): Tensor {
  const columns = before === undefined ? r : multiply(r, before);
  return after === undefined ? columns : multiply(columns, reshape(after, [-1, 1]));
}

/**
 * LoRA whose initial product is subtracted from the base (PiSSA, OLoRA, LoftQ). The decomposition is computed
 * once, asynchronously, one layer at a time; from then on training, merging and saving see plain LoRA on
 * another base.
 */
import {
  type Adapter,
  byteLength,
  chooseTargets,
  type DType,
  type Factors,
  freshTargets,
  keep,
  type Key,
  key as keyOf,
  type MatrixPlace,
  merge,
  type MethodDefinition,
  type Model,
  nest,
  overlay,
  type Planning,
  type PreparedRun,
  scope,
  setLeaves,
  sizesOf,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { completed, type Filled } from "../../core/options/mod.ts";
import { negate } from "../../ops/mod.ts";
import { fixedWeights } from "../selective/fixed_weights.ts";
import { lora, type LoraOptions, loraRank } from "./lora.ts";
import { factorisedMatrix } from "../shared/factorised_matrix.ts";
import { rangeError } from "../../errors/error.ts";

/** An adapter and the base it belongs to. On the original model the adapter computes a different function. */
export interface Prepared<M extends Model> {
  /**
   * The change of the base, as an adapter of the original model. Grafting it and then `adapter` onto the
   * original model equals `adapter` on `model`.
   */
  readonly base: Adapter;
  /** The original model with that change in its weights. Shares all other weights. */
  readonly model: M;
  /** LoRA to train on `model`, under the method's own name. */
  readonly adapter: Adapter;
  /** Frees what was computed: the changed weights and the initial parameters. */
  dispose(): void;
}

/** Options of LoRA on a changed base. */
export interface PreparedOptions extends Omit<LoraOptions, "initialization"> {
  /** Seed for random choices. Default 0. */
  readonly key?: Key | number;
}

/**
 * The options with the definition's defaults; the key is none of them.
 *
 * @throws {RangeError} on an unknown name, or a value that its schema does not accept.
 */
export function completedOptions<O extends PreparedOptions>(
  { name, options: known }: MethodDefinition,
  { key = 0, ...own }: O,
): O {
  return { ...completed(name, own as Readonly<Record<string, unknown>>, known), key } as O;
}

/**
 * Factors, and the residual of the layer as it will be stored: in its dtype, and [in, out] where the model
 * stores it so.
 */
export interface Split extends Factors {
  readonly rest: Tensor;
}

/** The base becomes W − s B A, in f32. */
export function prepareDifference<M extends Model>(
  definition: MethodDefinition,
  model: M,
  options: PreparedOptions,
  factorsOf: (w: Tensor, place: MatrixPlace) => Factors,
): Promise<Prepared<M>> {
  return prepare(definition, model, options, factorsOf, (parts) => {
    const { key: _, ...own } = options;
    const method = lora({ ...own, bias: "none", branchBias: false });
    const params = scope((): Synchronous<Tree> =>
      nest(
        parts.flatMap(([{ path }, { a, b }]) => [[`${path}.a`, a], [`${path}.b`, negate(b)]] as const),
      ) as Tree
    );
    const base = { name: "base", method, params };
    return { base, model: merge(model, base) };
  });
}

/** The base becomes the residual of the split. */
export async function prepareSplit<M extends Model>(
  definition: MethodDefinition,
  model: M,
  options: PreparedOptions,
  splitOf: (w: Tensor, place: MatrixPlace) => Split,
): Promise<Prepared<M>> {
  for (const place of chooseTargets(model.spec, options)) {
    if (place.kind === "head" && place.tiedTo !== undefined) {
      throw rangeError(
        "INVALID_ARGUMENT",
        `Cannot quantize "${place.path}" under an adapter: its matrix is "${place.tiedTo}"'s; leave it out of the targets`,
      );
    }
  }
  return await prepare(definition, model, options, splitOf, (parts) => {
    const rest = parts.map(([{ path }, { rest }]) => [`${path}.weight`, rest] as const);
    const method = fixedWeights({ parameters: rest.map(([path]) => path) });
    return {
      base: {
        name: "base",
        method,
        params: nest(rest.map(([path, t]) => [`frozen.${path}`, t] as const)) as Tree,
      },
      model: { ...model, weights: setLeaves(model.weights, rest), dispose: () => {} },
    };
  });
}

async function prepare<M extends Model, F extends Factors>(
  definition: MethodDefinition,
  model: M,
  { key = 0, ...options }: PreparedOptions,
  partsOf: (w: Tensor, place: MatrixPlace) => F,
  baseOf: (parts: readonly (readonly [MatrixPlace, F])[]) => { readonly base: Adapter; readonly model: M },
): Promise<Prepared<M>> {
  // Under a name of its own, so that it is not mistaken for LoRA of the original base.
  const method = { ...lora(options), name: definition.name, definition };
  const places = freshTargets(model.spec, options);
  for (const place of places) checkRank(place, options);
  const parts: (readonly [MatrixPlace, F])[] = [];
  for (const place of places) {
    parts.push([place, await factorisedMatrix(model, place, (w) => partsOf(w, place))]);
  }
  const changed = baseOf(parts);
  const factors = nest(
    parts.flatMap(([{ path }, { a, b }]) => [[`${path}.a`, a], [`${path}.b`, b]] as const),
  ) as Tree;
  const params = scope((): Synchronous<Tree> =>
    overlay(method.init({ model, key: keyOf(key) }), factors) as Synchronous<Tree>
  );
  const held = keep([params, changed.base.params]);
  return {
    ...changed,
    adapter: { method, params },
    dispose: () => {
      changed.model.dispose();
      held.dispose();
    },
  };
}

function checkRank(place: MatrixPlace, options: LoraOptions): void {
  const { inFeatures: n, outFeatures: m } = sizesOf(place);
  const rank = loraRank(place.path, options);
  if (rank > Math.min(m, n)) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot take rank ${rank} from "${place.path}" [${m}, ${n}]: choose at most ${
        Math.min(m, n)
      }, or another rank for it by rankPattern`,
    );
  }
}

/** A run on the changed base, from which LoRA of the original base is made at its end, of twice the rank. */
export function preparedRun<M extends Model>(
  { model, adapter, dispose }: Prepared<M>,
  finish: (trained: Adapter) => Promise<Adapter>,
): PreparedRun {
  return {
    adapter,
    base: model,
    dispose,
    finish: (trained) => finish({ ...trained, method: adapter.method }),
  };
}

/** Bytes of changed matrices, and of the factors held beside them so many times. */
export function changedBytes({ model, options }: Planning, dtype: DType, copies: number): number {
  const { rank, ...where } = options as Filled<LoraOptions>;
  return chooseTargets(model.spec, where).map(sizesOf).reduce(
    (sum, { inFeatures, outFeatures }) =>
      sum + byteLength(dtype, [outFeatures, inFeatures]) + copies * 4 * rank * (inFeatures + outFeatures),
    0,
  );
}

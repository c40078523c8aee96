/**
 * LoRA-GA. Wang, Yu and Li 2024, "LoRA-GA: Low-Rank Adaptation with Gradient Approximation", arXiv 2407.05000, equations 8 to 10
 * and algorithm 1.
 *
 *   ∇W = U S Vᵀ [out, in]     A = ⁴√out/√γ V[1..r]ᵀ     B = ⁴√out/√γ U[r+1..2r]     base: W − s B A      s = α / r
 *
 * ∇W is the mean gradient over a few batches of the training data. From this start LoRA's first step follows full fine-tuning
 * as closely as rank 2 r allows; the base keeps the rest of W, so the function is initially unchanged.
 *
 * As the authors' code, which divides the triples in two other ways, too. PEFT multiplies B by the singular values, and scales
 * B alone. The paper's s is α/√r: `scaling: "rankStabilized"`.
 */
import {
  adapt,
  type Batch,
  type BatchGradients,
  type DefinedMethod,
  dense,
  dispose,
  type Factors,
  freshTargets,
  lookup,
  lossAndGradients,
  mapTree,
  type MatrixPlace,
  type MethodDefinition,
  type Model,
  read,
  scope,
  type Shape,
  sizesOf,
  type Synchronous,
  type TargetOptions,
  type Tensor,
  tensor,
  type Tree,
} from "../../core/mod.ts";
import { count, given, oneOf, option, positive } from "../../core/options/mod.ts";
import { add, factorised, gatherRows, integers, multiply, svd, transpose } from "../../ops/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { zeros } from "../shared/initial.ts";
import { lora, LORA_RANK, LORA_SHARED, loraRank, LOW_RANK } from "./lora.ts";
import { onOriginal } from "./on_original.ts";
import {
  changedBytes,
  completedOptions,
  type Prepared,
  prepareDifference,
  type PreparedOptions,
  preparedRun,
} from "./prepared.ts";
import { rangeError } from "../../errors/error.ts";

/** Which of the 2 r leading triples of the gradient give A and B: the first half A, the second, or every other one. */
export type LoraGaDirection = "ArB2r" | "A2rBr" | "ArBr";

/** Options of LoRA-GA: those of LoRA, and how the gradient's triples become factors. */
export interface LoraGaOptions extends PreparedOptions {
  /** Which triples give A and B, default "ArB2r": A the first r, B those after. */
  readonly direction?: LoraGaDirection;
  /** Whether the factors are scaled by ⁴√out/√γ, so that outputs stay of one size, or not. Default "stable". */
  readonly scale?: "stable" | "unit";
  /** γ, default 16. */
  readonly gamma?: number;
}

/** y = W x + b + D x, with D [out, in] at zero: its gradient is that of W, however W is stored. */
const difference: DefinedMethod<TargetOptions> = defineLinear<TargetOptions, { readonly d: Tensor }>({
  name: "weight-difference",
  summary: "Adds a matrix to each weight.",
  options: {},
  params: ({ inFeatures, outFeatures }) => ({ d: zeros([outFeatures, inFeatures]) }),
  map: ({ d }) => dense(d),
});

/**
 * Prepares LoRA-GA: an adapter that starts from the gradient of the batches, and the base with the adapter's initial product
 * subtracted. On that base the function is initially unchanged.
 *
 * @throws {RangeError} when an option is out of range, a rank exceeds half a matrix's size, targets match nothing, or there is
 * no batch, or one without labels.
 * @param gradientsOf Another loss than that of the batches' labels.
 * @example
 * ```ts
 * import { count, freshModel, loraGa, onOriginal, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const batch = { inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] };
 * const prepared = await loraGa(model, [batch], { rank: 2 });
 * // Train prepared.adapter on prepared.model; then, for everyone else's base:
 * const { adapter } = await onOriginal(model, prepared);
 * assert.equal(count(model, adapter).trainable, 2 * count(prepared.model, prepared.adapter).trainable);
 * ```
 */
export async function loraGa<M extends Model>(
  model: M,
  batches: Iterable<Batch>,
  options: LoraGaOptions = {},
  gradientsOf: BatchGradients = lossAndGradients,
): Promise<Prepared<M>> {
  const known = completedOptions(loraGaDefinition, options) as Required<LoraGaOptions>;
  const { direction: _, scale: __, gamma: ___, ...rest } = known;
  const starts = await startingFactors(model, batches, known, gradientsOf);
  return await prepareDifference(loraGaDefinition, model, rest, ({ backend }, { path }) => {
    const { a, b } = starts.get(path)!;
    return {
      a: tensor(a.numbers, { backend, shape: a.shape }),
      b: tensor(b.numbers, { backend, shape: b.shape }),
    };
  });
}

/** Factors as numbers, which any backend can take. */
type Start = Readonly<Record<keyof Factors, { readonly numbers: Float32Array; readonly shape: Shape }>>;

/** A and B of every target, from the gradient of its matrix. */
async function startingFactors(
  model: Model,
  batches: Iterable<Batch>,
  options: Required<LoraGaOptions>,
  gradientsOf: BatchGradients,
): Promise<ReadonlyMap<string, Start>> {
  const places = freshTargets(model.spec, options);
  for (const place of places) checkTriples(place, options);
  const gradients = await sumOfGradients(model, batches, options, gradientsOf);
  const numbers = async (t: Tensor) => ({ numbers: await read(t), shape: t.shape });
  const found = new Map<string, Start>();
  try {
    for (const { path } of places) {
      const gradient = lookup(gradients, `${path}.d`) as Tensor; // [out, in]
      const { a, b } = await factorised(gradient, (g) => factorsOf(g, loraRank(path, options), options));
      found.set(path, { a: await numbers(a), b: await numbers(b) });
      dispose([a, b]);
    }
  } finally {
    dispose(gradients);
  }
  return found;
}

/** The sum over batches of the gradient of every target's matrix, [out, in] under `<path>.d`; its triples are the mean's. */
async function sumOfGradients(
  model: Model,
  batches: Iterable<Batch>,
  { targets, exclude, layers }: LoraGaOptions,
  gradientsOf: BatchGradients,
): Promise<Tree> {
  const zero = adapt(model, difference(given({ targets, exclude, layers })));
  let sum: Tree | undefined;
  try {
    for (const batch of batches) {
      const { value, gradients: grads } = gradientsOf(model, zero, batch);
      await read(value);
      dispose(value);
      const before = sum;
      sum = before === undefined
        ? grads
        : scope((): Synchronous<Tree> => mapTree(before, (t, path) => add(t, lookup(grads, path) as Tensor)));
      if (before !== undefined) dispose([before, grads]);
    }
  } finally {
    dispose(zero.params);
  }
  if (sum === undefined) throw rangeError("INVALID_ARGUMENT", "Cannot take gradients: there are no batches");
  return sum;
}

/** A and B of a gradient [out, in]. */
function factorsOf(
  gradient: Tensor,
  r: number,
  { direction, scale, gamma }: Required<LoraGaOptions>,
): Factors {
  const { u, vt } = svd(gradient);
  const s = scale === "unit" ? 1 : Math.sqrt(Math.sqrt(gradient.shape[0]!)) / Math.sqrt(gamma);
  const [rows, columns] = TRIPLES[direction](r);
  return {
    a: multiply(gatherRows(vt, integers(rows, vt.backend)), s),
    b: transpose(multiply(gatherRows(transpose(u), integers(columns, u.backend)), s)),
  };
}

const range = (n: number, from: number, step = 1): readonly number[] =>
  Array.from({ length: n }, (_, i) => from + i * step);

/** Which of the leading triples give A's rows, and B's columns. */
const TRIPLES: Readonly<
  Record<LoraGaDirection, (r: number) => readonly [rows: readonly number[], columns: readonly number[]]>
> = {
  ArB2r: (r) => [range(r, 0), range(r, r)],
  A2rBr: (r) => [range(r, r), range(r, 0)],
  ArBr: (r) => [range(r, 1, 2), range(r, 0, 2)],
};

/** The largest rank of a layer: its gradient has twice as many triples. */
function mostOf(place: MatrixPlace): number {
  const { inFeatures, outFeatures } = sizesOf(place);
  return Math.floor(Math.min(inFeatures, outFeatures) / 2);
}

function checkTriples(place: MatrixPlace, options: LoraGaOptions): void {
  const { inFeatures, outFeatures } = sizesOf(place);
  const [r, most] = [loraRank(place.path, options), mostOf(place)];
  if (r > most) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot take twice ${r} triples from the gradient of "${place.path}" [${outFeatures}, ${inFeatures}]: choose a rank of ` +
        `at most ${most}, or another rank for it by rankPattern`,
    );
  }
}

/** What is known of LoRA-GA: it needs gradients of the data, so that options alone do not make it. */
export const loraGaDefinition: MethodDefinition = {
  name: "lora-ga",
  summary: "LoRA that starts along the gradient of full fine-tuning.",
  facts: { parameters: "r (in + out)", merges: "onto the changed base; `onOriginal` gives rank 2r" },
  title: "LoRA-GA",
  options: {
    ...LORA_SHARED,
    direction: option(oneOf("ArB2r", "A2rBr", "ArBr"), "which triples of the gradient give A and B", "ArB2r"),
    scale: option(
      oneOf("stable", "unit"),
      "whether factors are scaled so that outputs stay of one size",
      "stable",
    ),
    gamma: option(positive, "γ of the stable scale", 16),
  },
  cli: {
    ...LOW_RANK,
    options: ({ rank, ...flags }, spec, places, named) =>
      LOW_RANK.options!(
        { ...flags, rank: rank ?? Math.min(LORA_RANK, ...places.map(mostOf)) },
        spec,
        places,
        named,
      ),
    also: { examples: option(count, "how many rows of the data the gradient is of", 64) },
  },
  prepare: async ({ model, options: { examples, ...options }, batches, gradients, seed }) => {
    const prepared = await loraGa(model, batches(examples as number), { ...options, key: seed }, gradients);
    return preparedRun(prepared, async (trained) => (await onOriginal(model, prepared, trained)).adapter);
  },
  plan: ({ options: { examples: _, direction: __, scale: ___, gamma: ____, ...own } }) => lora(own),
  planBase: (given) => changedBytes(given, "f32", 2),
  published: {
    setting: "r 8 on q and v; kept as r 16",
    make: () => lora(),
    kept: () => lora({ rank: 16 }),
  },
};

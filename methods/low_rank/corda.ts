/**
 * CorDA. Yang et al. 2024, "CorDA: Context-Oriented Decomposition Adaptation of Large Language Models for Task-Aware
 * Parameter-Efficient Fine-tuning", arXiv 2406.05223, sections 3.2 to 3.4.
 *
 *   W C = U S Vᵀ [out, in]     A = √(S_r / s) V_rᵀ C⁻¹ = (S_r s)^(−½) U_rᵀ W     B = U_r √(S_r / s)     base: W − s B A
 *
 * C [in, in] is the covariance of the layer's inputs over sample texts, s = α / r. S_r are the r largest singular values where the adapter
 * is to learn what the samples are of (instruction-previewed mode), or the r smallest where the base is to keep what they ask
 * for (knowledge-preserved mode). The base keeps the rest of W, so the function is initially unchanged.
 *
 * As the authors' code and PEFT: each text's inputs are divided by the magnitude of their maximum, C is the mean over texts, and
 * gets 0.01 of its mean diagonal on the diagonal. They double that where C⁻¹ comes out wrong in f32; here none is taken. Padding
 * does not count; a decoder's own texts, beside an encoder, count whole.
 */
import {
  type Batch,
  captureInputs,
  freshTargets,
  keep,
  type MatrixPlace,
  type MethodDefinition,
  type Model,
  read,
  type Root,
  scope,
  type Synchronous,
  type Tensor,
  tensor,
} from "../../core/mod.ts";
import { count, oneOf, option } from "../../core/options/mod.ts";
import {
  abs,
  add,
  addAll,
  divide,
  gatherRows,
  identity,
  integers,
  matmul,
  max,
  maximum,
  multiply,
  reshape,
  slice,
  sqrt,
  sum,
  svd,
} from "../../ops/mod.ts";
import { lora, LORA_SHARED, loraRank, loraScale, LOW_RANK } from "./lora.ts";
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

/** What the samples are for: the adapter takes the r largest components of W C, or the r smallest. */
export type CordaMode = "instruction-previewed" | "knowledge-preserved";

/** Options of CorDA: those of LoRA, and which components become the adapter. */
export interface CordaOptions extends PreparedOptions {
  /** Default "instruction-previewed", as in PEFT ("ipm"; the other is its "kpm"). */
  readonly mode?: CordaMode;
}

/**
 * Prepares CorDA: an adapter that starts as the components of each weight that the batches' texts make most of, or least, and the
 * base without them. On that base the function is initially unchanged.
 *
 * @throws {RangeError} when an option is out of range, a rank exceeds a matrix's size, targets match nothing or an embedding, or
 * there is no batch.
 * @example
 * ```ts
 * import { corda, count, freshModel, onOriginal, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const batch = { inputIds: [[1, 2, 3], [4, 5, 6]] };
 * const prepared = await corda(model, [batch], { rank: 2, mode: "knowledge-preserved" });
 * // Train prepared.adapter on prepared.model; then, for everyone else's base:
 * const { adapter } = await onOriginal(model, prepared);
 * assert.equal(count(model, adapter).trainable, 2 * count(prepared.model, prepared.adapter).trainable);
 * ```
 */
export async function corda<M extends Model>(
  model: M,
  batches: Iterable<Batch>,
  options: CordaOptions = {},
): Promise<Prepared<M>> {
  const { mode, ...rest } = completedOptions(cordaDefinition, options);
  const contexts = await covariancesOf(model, batches, freshTargets(model.spec, rest));
  return await prepareDifference(cordaDefinition, model, rest, (w, { path }) => {
    const n = w.shape[1]!;
    const { u, s } = svd(matmul(w, tensor(contexts.get(path)!, { backend: w.backend, shape: [n, n] })));
    const r = loraRank(path, rest);
    const from = mode === "knowledge-preserved" ? s.size - r : 0;
    const b = slice(u, 1, from, from + r); // [out, r]
    const values = maximum(slice(s, 0, from, from + r), TINY);
    const scale = loraScale(path, rest);
    return {
      a: divide(matmul(b, w, { transposeA: true }), sqrt(multiply(reshape(values, [r, 1]), scale))),
      b: multiply(b, sqrt(multiply(values, 1 / scale))),
    };
  });
}

/** Where a matrix or a text has nothing but zeros. */
const TINY = 1e-30;

/** C of every place as numbers, which any backend can take; layers that read the same tensor share it. */
async function covariancesOf(
  model: Model,
  batches: Iterable<Batch>,
  places: readonly MatrixPlace[],
): Promise<ReadonlyMap<string, Float32Array>> {
  const table = places.find(({ kind }) => kind === "embedding");
  if (table !== undefined) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot start the embedding "${table.path}" by CorDA: its inputs are ids; leave it out of the targets`,
    );
  }
  const { sums, readers, texts } = sumsOf(model, batches, places.map(({ path }) => path));
  try {
    if (texts === 0) {
      throw rangeError("INVALID_ARGUMENT", "Cannot look at the layers' inputs: there are no batches");
    }
    const found = new Map<string, Float32Array>();
    for (const [path, { tree }] of sums) {
      const c = scope((): Synchronous<Tensor> => damped(multiply(tree, 1 / texts)));
      found.set(path, await read(c));
      c.storage.free();
    }
    return new Map(places.map(({ path }) => [path, found.get(readers.get(path)!)!]));
  } finally {
    for (const sum of sums.values()) sum.dispose();
  }
}

/** With 0.01 of its mean diagonal on the diagonal. */
function damped(c: Tensor): Tensor {
  const n = c.shape[0]!;
  const one = identity(n, c.backend);
  return add(c, multiply(one, multiply(sum(multiply(c, one)), 0.01 / n)));
}

/** The sum over texts of XᵀX [in, in] of each tensor that layers read, by the first of these; and which that is, by layer. */
function sumsOf(
  model: Model,
  batches: Iterable<Batch>,
  paths: readonly string[],
): {
  readonly sums: ReadonlyMap<string, Root<Tensor>>;
  readonly readers: ReadonlyMap<string, string>;
  readonly texts: number;
} {
  const [sums, readers] = [new Map<string, Root<Tensor>>(), new Map<string, string>()];
  let texts = 0;
  for (const batch of batches) {
    texts += batch.inputIds.length;
    const seen = new Map<unknown, string>();
    captureInputs(model, batch, paths, (path, x) => {
      const first = seen.get(x.storage) ?? path;
      readers.set(path, first);
      if (first !== path) return;
      seen.set(x.storage, path);
      const before = sums.get(path);
      const made = scope((): Synchronous<Tensor> => plusProducts(x, batch, before?.tree));
      if (before === undefined) sums.set(path, keep(made));
      else before.replace(made);
    });
  }
  return { sums, readers, texts };
}

/** The sum before, and XᵀX [in, in] of each text, with X [tokens, in] its inputs over the magnitude of their maximum. */
function plusProducts(x: Tensor, { attentionMask }: Batch, before: Tensor | undefined): Tensor {
  const [texts, t, width] = x.shape as readonly [number, number, number];
  const rows = reshape(x, [texts * t, width]);
  const mask = attentionMask?.[0]?.length === t ? attentionMask.flat() : undefined;
  const tokens = Array.from(
    { length: texts },
    (_, i) => Array.from({ length: t }, (_, j) => i * t + j).filter((n) => mask?.[n] !== 0),
  );
  const products = tokens.filter(({ length }) => length > 0).map((ids) => {
    const own = gatherRows(rows, integers(ids, x.backend));
    const scaled = divide(own, maximum(abs(max(own)), TINY));
    return matmul(scaled, scaled, { transposeA: true });
  });
  return addAll([...before === undefined ? [] : [before], ...products]);
}

/** What is known of CorDA: it looks at the layers' inputs, so that options alone do not make it. */
export const cordaDefinition: MethodDefinition = {
  name: "corda",
  summary: "LoRA that starts from each weight's components, as sample texts make use of them.",
  facts: { parameters: "r (in + out)", merges: "onto the changed base; `onOriginal` gives rank 2r" },
  title: "CorDA",
  options: {
    ...LORA_SHARED,
    mode: option(
      oneOf("instruction-previewed", "knowledge-preserved"),
      "whether the adapter takes the components that the texts use most, or least",
      "instruction-previewed",
    ),
  },
  cli: {
    ...LOW_RANK,
    rate: 2e-4,
    also: { examples: option(count, "how many rows of the data are looked at", 256) },
  },
  prepare: async ({ model, options: { examples, ...options }, batches, seed }) => {
    const prepared = await corda(model, batches(examples as number), { ...options, key: seed });
    return preparedRun(prepared, async (trained) => (await onOriginal(model, prepared, trained)).adapter);
  },
  plan: ({ options: { examples: _, mode: __, ...own } }) => lora(own),
  planBase: (given) => changedBytes(given, "f32", 2),
  published: {
    setting: "r 8 on q and v; kept as r 16",
    make: () => lora(),
    kept: () => lora({ rank: 16 }),
  },
};

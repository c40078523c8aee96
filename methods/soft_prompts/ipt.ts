/**
 * Intrinsic prompt tuning. Qin et al. 2021, "Exploring Universal Intrinsic Task Subspace via Prompt Tuning",
 * arXiv 2110.07867.
 *
 *   1  a prompt P_t [l, d] for each training task, by prompt tuning
 *   2  v = W₁ p + b₁ [k]    p̂ = W₃ tanh(W₂ v + b₂) + b₃ [l d]    p: P_t flattened
 *      loss = task(p̂) + 200 · mean((p̂ − p)²)                    over many tasks, prompts and model frozen
 *   3  a new task trains only v with the frozen decoder; then v is decoded once
 *
 * The encoder is linear, the authors' first of six types; W₂ is [d, k]. Stage 2 smooths labels by 0.1. Stage
 * 3 may continue with the prompt itself: finalize and train.
 */
import {
  fn,
  fold,
  key as keyOf,
  type Method,
  sameShape,
  scope,
  type Spec,
  type Synchronous,
  Tensor,
  type Tree,
} from "../../core/mod.ts";
import { mean, multiply, normal, reshape, square, subtract, tanh } from "../../ops/mod.ts";
import { type Affine, affine, freshAffine } from "../shared/affine.ts";
import { type PromptParams, type PromptPosition, promptStack } from "./prompt_rows.ts";
import { promptTuning } from "./prompt_tuning.ts";
import { checkPositive } from "../shared/option_checks.ts";
import type { PromptSources } from "./spot.ts";

/** W₂ and W₃. */
export type IptDecoder = { readonly inner: Affine; readonly outer: Affine };

/** The autoencoder's parameters. */
export type IptAutoencoderParams = {
  readonly encoder: Affine;
  readonly decoder: IptDecoder;
  readonly frozen: { readonly prompts: Tree };
};

/** Options of the autoencoder, stage 2. */
export interface IptAutoencoderOptions {
  /** The trained prompts of stage 1, by task; all of one shape. */
  readonly prompts: PromptSources;
  /** The task whose prompt a pass uses. The parameters are the same for all: see `iptGradients`. */
  readonly task: string;
  /** k, default 250. */
  readonly intrinsic?: number;
  /** Hidden size of the decoder, default d. */
  readonly hidden?: number;
  /** Factor of the reconstruction error, default 200. */
  readonly reconstruction?: number;
}

/**
 * IPT's autoencoder as a method. Parameters: `encoder`, `decoder.inner`, `decoder.outer`, each a weight [out,
 * in] and a bias, and the prompts under `frozen.prompts`. `finalize` returns the task's decoded prompt.
 *
 * @throws {RangeError} when there is no prompt for the task, prompts differ in shape, or a size is not a
 * positive integer.
 * @example
 * ```ts
 * import { iptAutoencoder, promptTuning, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const rows = tensor([[0, 1], [2, 3]], { backend: reference() });
 * const prompts = { mnli: { method: promptTuning({ length: 2 }), params: { rows } } };
 * assert.equal(iptAutoencoder({ prompts, task: "mnli", intrinsic: 5 }).name, "iptAutoencoder");
 * rows.storage.free();
 * ```
 */
export function iptAutoencoder(options: IptAutoencoderOptions): Method<IptAutoencoderParams> {
  const { prompts, task, intrinsic = 250, reconstruction = 200 } = options;
  checkPositive("intrinsic", intrinsic);
  if (options.hidden !== undefined) checkPositive("hidden", options.hidden);
  const { rows, length, where } = checkPrompts(prompts, task);
  const decodedRows = ({ encoder, decoder, prompts }: Coder): Tensor =>
    decoded(decoder, affine(encoder, flat(prompts[task] as Tensor)), length);
  return {
    name: "iptAutoencoder",
    config: {
      task,
      tasks: Object.keys(prompts),
      length,
      intrinsic,
      hidden: options.hidden ?? null,
      reconstruction,
      where,
    },
    init: ({ model, key }) =>
      scope((): Synchronous<IptAutoencoderParams> => {
        const { width } = promptStack(model.spec, "iptAutoencoder");
        const hidden = options.hidden ?? width;
        const fresh = (name: string, out: number, inner: number): Affine =>
          freshAffine(fold(keyOf(key), name), out, inner, model.backend);
        return {
          encoder: fresh("encoder", intrinsic, length * width),
          decoder: {
            inner: fresh("inner", hidden, intrinsic),
            outer: fresh("outer", length * width, hidden),
          },
          frozen: { prompts: rows },
        };
      }),
    edits: ({ encoder, decoder, frozen: { prompts } }, spec) => [
      promptEdit(spec, length, where, { encoder, decoder, prompts }, decodedRows),
    ],
    penalty: ({ encoder, decoder, frozen: { prompts } }) => {
      const wanted = prompts[task] as Tensor;
      const error = mean(square(subtract(decodedRows({ encoder, decoder, prompts }), wanted)));
      return multiply(error, reconstruction);
    },
    finalize: ({ encoder, decoder, frozen: { prompts } }) => ({
      method: promptTuning({ length, where }),
      params: scope((): Synchronous<PromptParams> => ({ rows: decodedRows({ encoder, decoder, prompts }) })),
    }),
  };
}

/** Options of IPT, stage 3. */
export interface IptOptions {
  /** The trained autoencoder; its decoder is used, frozen. */
  readonly autoencoder: { readonly method: Pick<Method, "name" | "config">; readonly params: Tree };
}

/** The parameters of stage 3: v [k], which is trained, and the frozen decoder. */
export type IptParams = { readonly v: Tensor; readonly frozen: { readonly decoder: IptDecoder } };

/**
 * Intrinsic prompt tuning as a method: k numbers per task. Parameters: `v` [k], initially normal with
 * standard deviation 0.02, and the decoder under `frozen.decoder`. `finalize` decodes once and returns prompt
 * tuning.
 *
 * @throws {TypeError} when `autoencoder` is not one.
 * @example
 * ```ts
 * import {
 *   adapt, count, freshModel, ipt, iptAutoencoder, promptTuning, reference, smallConfig,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const prompts = { mnli: adapt(model, promptTuning({ length: 4 })) };
 * const autoencoder = adapt(model, iptAutoencoder({ prompts, task: "mnli", intrinsic: 3 })); // then trained
 * const adapter = adapt(model, ipt({ autoencoder }));
 * assert.equal(count(model, adapter).trainable, 3);
 * ```
 */
export function ipt({ autoencoder }: IptOptions): Method<IptParams> {
  const { decoder } = autoencoder.params as Partial<IptAutoencoderParams>;
  const { length, where = "front" } = autoencoder.method.config as {
    readonly length?: number;
    readonly where?: PromptPosition;
  };
  if (decoder === undefined || length === undefined || autoencoder.method.name !== "iptAutoencoder") {
    throw new TypeError(`Expected a trained iptAutoencoder but found ${autoencoder.method.name}`);
  }
  const intrinsic = decoder.inner.weight.shape[1]!;
  return {
    name: "ipt",
    config: { length, intrinsic, where },
    init: ({ model, key }) =>
      scope((): Synchronous<IptParams> => ({
        v: normal(fold(keyOf(key), "v"), [intrinsic], model.backend, 0.02),
        frozen: { decoder },
      })),
    edits: ({ v, frozen: { decoder } }, spec) => [
      promptEdit(spec, length, where, { v, decoder }, ({ v, decoder }) => decoded(decoder, v, length)),
    ],
    finalize: ({ v, frozen: { decoder } }) => ({
      method: promptTuning({ length, where }),
      params: scope((): Synchronous<PromptParams> => ({ rows: decoded(decoder, v, length) })),
    }),
  };
}

interface Coder {
  readonly encoder: Affine;
  readonly decoder: IptDecoder;
  readonly prompts: Tree;
}

const flat = (rows: Tensor): Tensor => reshape(rows, [1, rows.size]); // [1, l d]

/** v [k] → P [l, d]. */
function decoded({ inner, outer }: IptDecoder, v: Tensor, length: number): Tensor {
  return reshape(affine(outer, tanh(affine(inner, reshape(v, [1, v.size])))), [length, -1]);
}

function promptEdit<P>(
  spec: Spec,
  length: number,
  where: PromptPosition,
  params: P,
  rows: (params: P) => Tensor,
) {
  return {
    kind: "prompt",
    path: promptStack(spec, "ipt").path,
    length,
    where,
    rows: fn(params, rows),
  } as const;
}

function checkPrompts(prompts: PromptSources, task: string) {
  const entries = Object.entries(prompts).map(([name, { method, params }]) => {
    const { rows } = params;
    if (!(rows instanceof Tensor)) {
      throw new TypeError(
        `Expected "${name}" to be a trained prompt but found ${method.name}: finalize it first`,
      );
    }
    if (name.includes(".")) throw new RangeError(`Expected a task's name without dots but found "${name}"`);
    return { name, rows, where: (method.config["where"] ?? "front") as PromptPosition };
  });
  const own = entries.find(({ name }) => name === task);
  if (own === undefined) {
    throw new RangeError(
      `Expected a prompt for the task "${task}" but found ${Object.keys(prompts).join(", ")}`,
    );
  }
  const odd = entries.find(({ rows, where }) =>
    !sameShape(rows.shape, own.rows.shape) || JSON.stringify(where) !== JSON.stringify(own.where)
  );
  if (odd !== undefined) {
    throw new RangeError(`Expected prompts of one shape at one place but "${odd.name}" and "${task}" differ`);
  }
  return {
    rows: Object.fromEntries(entries.map(({ name, rows }) => [name, rows])),
    length: own.rows.shape[0]!,
    where: own.where,
  };
}

/**
 * The autoencoder of intrinsic prompt tuning, its stage 2: see `ipt.ts`.
 *
 *   v = W₁ p + b₁ [k]    p̂ = W₃ tanh(W₂ v + b₂) + b₃ [l d]    loss = task(p̂) + 200 · mean((p̂ − p)²)
 */
import {
  fn,
  fold,
  key as keyOf,
  type Method,
  type MethodConfig,
  type MethodDefinition,
  type PromptEdit,
  sameShape,
  scope,
  type Spec,
  type Synchronous,
  Tensor,
  type Tree,
} from "../../core/mod.ts";
import {
  bounded,
  checkOptions,
  count,
  type DefaultedOption,
  type Filled,
  filled,
  type JsonOptions,
  number,
  option,
  type OptionOf,
  text,
} from "../../core/options/mod.ts";
import { mean, multiply, reshape, square, subtract, tanh } from "../../ops/mod.ts";
import { type Affine, affine, freshAffine } from "../shared/affine.ts";
import { type PromptParams, type PromptPosition, promptStack } from "./prompt_rows.ts";
import { promptTuning, type PromptTuningOptions } from "./prompt_tuning.ts";
import type { PromptSources } from "./spot.ts";
import { rangeError, typeError } from "../../errors/error.ts";

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
  readonly hidden?: number | undefined;
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
 * assert.equal(iptAutoencoder({ prompts, task: "mnli", intrinsic: 5 }).name, "ipt-autoencoder");
 * rows.storage.free();
 * ```
 */
export function iptAutoencoder(options: IptAutoencoderOptions): Method<IptAutoencoderParams> {
  const { prompts, ...own } = options;
  checkOptions("ipt-autoencoder", own, iptAutoencoderDefinition.options);
  const { task, intrinsic, hidden: inner, reconstruction } = filled(
    own,
    iptAutoencoderDefinition.options,
  ) as Filled<Omit<IptAutoencoderOptions, "prompts">>;
  const { rows, length, where } = checkPrompts(prompts, task);
  const decodedRows = ({ encoder, decoder, prompts }: Coder): Tensor =>
    decoded(decoder, affine(encoder, flat(prompts[task] as Tensor)), length);
  return {
    definition: iptAutoencoderDefinition,
    name: "ipt-autoencoder",
    config: { ...own, tasks: Object.keys(prompts), length, where } as MethodConfig,
    init: ({ model, key }) =>
      scope((): Synchronous<IptAutoencoderParams> => {
        const { width } = promptStack(model.spec, "ipt-autoencoder");
        const hidden = inner ?? width;
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

/** k. */
export const intrinsicOption: DefaultedOption<number> = option(
  bounded(count, "width"),
  "k, the numbers of a task",
  250,
);
/** The decoder's hidden size. */
export const hiddenOption: OptionOf<number> = option(
  bounded(count, "width"),
  "hidden size of the decoder; by default d",
);

/** `iptAutoencoder` in records; the prompts are among its parameters. */
export const iptAutoencoderDefinition: MethodDefinition = {
  name: "ipt-autoencoder",
  summary: "Learns the space of prompts from the trained prompts of many tasks.",
  title: "IPT's autoencoder",
  options: {
    task: option(text, "the task whose prompt a pass uses"),
    intrinsic: intrinsicOption,
    hidden: hiddenOption,
    reconstruction: option(number, "factor of the reconstruction error", 200),
  },
  restore: (config, { params }) => {
    const { tasks: _, length, where, hidden, ...own } = config as JsonOptions & PromptTuningOptions;
    const method = promptTuning({ ...length && { length }, ...where && { where } });
    const { prompts } = params["frozen"] as IptAutoencoderParams["frozen"];
    const sources = Object.entries(prompts).map(([task, rows]) =>
      [task, { method, params: { rows } }] as const
    );
    const given = { ...own, ...hidden !== null && { hidden }, prompts: Object.fromEntries(sources) };
    return iptAutoencoder(given as unknown as IptAutoencoderOptions) as Method;
  },
};

interface Coder {
  readonly encoder: Affine;
  readonly decoder: IptDecoder;
  readonly prompts: Tree;
}

const flat = (rows: Tensor): Tensor => reshape(rows, [1, rows.size]); // [1, l d]

/** v [k] → P [l, d]. */
export function decoded({ inner, outer }: IptDecoder, v: Tensor, length: number): Tensor {
  return reshape(affine(outer, tanh(affine(inner, reshape(v, [1, v.size])))), [length, -1]);
}

/** The edit that puts made rows before the text. */
export function promptEdit<P>(
  spec: Spec,
  length: number,
  where: PromptPosition,
  params: P,
  rows: (params: P) => Tensor,
): PromptEdit {
  return { kind: "prompt", path: promptStack(spec, "ipt").path, length, where, rows: fn(params, rows) };
}

function checkPrompts(prompts: PromptSources, task: string) {
  const entries = Object.entries(prompts).map(([name, { method, params }]) => {
    const { rows } = params;
    if (!(rows instanceof Tensor)) {
      throw typeError(
        "INVALID_ARGUMENT",
        `Expected "${name}" to be a trained prompt but found ${method.name}: finalize it first`,
      );
    }
    if (name.includes(".")) {
      throw rangeError("INVALID_ARGUMENT", `Expected a task's name without dots but found "${name}"`);
    }
    return { name, rows, where: (method.config["where"] ?? "front") as PromptPosition };
  });
  const own = entries.find(({ name }) => name === task);
  if (own === undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected a prompt for the task "${task}" but found ${Object.keys(prompts).join(", ")}`,
    );
  }
  const odd = entries.find(({ rows, where }) =>
    !sameShape(rows.shape, own.rows.shape) || JSON.stringify(where) !== JSON.stringify(own.where)
  );
  if (odd !== undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected prompts of one shape at one place but "${odd.name}" and "${task}" differ`,
    );
  }
  return {
    rows: Object.fromEntries(entries.map(({ name, rows }) => [name, rows])),
    length: own.rows.shape[0]!,
    where: own.where,
  };
}

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
  adapt,
  type Adapter,
  dispose,
  fold,
  key as keyOf,
  type Method,
  type MethodDefinition,
  type Model,
  type Preparing,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../core/mod.ts";
import { checkOptions, option, type Options, text } from "../../core/options/mod.ts";
import { normal } from "../../ops/mod.ts";
import { promptRows } from "../shared/model_sizes.ts";
import { foldersOf, foldersSchema, freeAll, loadAll } from "../shared/sources.ts";
import { rowCount, whereOption } from "./prompt_options.ts";
import {
  decoded,
  hiddenOption,
  intrinsicOption,
  iptAutoencoder,
  type IptAutoencoderParams,
  type IptDecoder,
  promptEdit,
} from "./ipt_autoencoder.ts";
import { storedRows, trainedPrompt } from "./stored_prompt.ts";
import type { PromptParams, PromptPosition } from "./prompt_rows.ts";
import { promptTuning } from "./prompt_tuning.ts";
import { typeError } from "../../errors/error.ts";

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
  if (decoder === undefined || length === undefined || autoencoder.method.name !== "ipt-autoencoder") {
    throw typeError(
      "INVALID_ARGUMENT",
      `Expected a trained ipt-autoencoder but found ${autoencoder.method.name}`,
    );
  }
  const intrinsic = decoder.inner.weight.shape[1]!;
  return {
    definition: iptDefinition,
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

const FROM: Options = {
  autoencoder: option(text, "the folder of a trained autoencoder"),
  sources: option(foldersSchema(1), "folders of trained prompts, for a decoder that nobody trained"),
  task: option(text, "the one among them whose prompt is decoded; by default the first"),
  intrinsic: intrinsicOption,
  hidden: hiddenOption,
};

/** `ipt` in records; the decoder is among its parameters. */
export const iptDefinition: MethodDefinition = {
  name: "ipt",
  summary: "Trains a few numbers that a decoder, learned from many tasks, turns into a prompt.",
  facts: { "parameters kept": "k, or n d decoded", "parameters trained": "k a task; the autoencoder once" },
  title: "intrinsic prompt tuning",
  aliases: ["intrinsic-prompt-tuning"],
  options: {},
  recorded: ({ config }) => config,
  restore: (config, { params }) => {
    checkOptions("ipt", config, { length: rowCount, intrinsic: intrinsicOption, where: whereOption });
    const method = { name: "ipt-autoencoder", config };
    return ipt({ autoencoder: { method, params: params["frozen"] as Tree } }) as Method;
  },
  cli: { rate: 1e-2, flags: [], also: FROM },
  prepare: async ({ model, options: { autoencoder: folder, ...fresh }, load, seed }) => {
    const autoencoder = folder === undefined
      ? await freshAutoencoder(model, fresh, load, seed)
      : await load(folder as string);
    try {
      const adapter = adapt(model, ipt({ autoencoder }), seed) as Adapter;
      const { decoder: _, ...unused } = autoencoder.params;
      dispose(unused);
      return { adapter };
    } catch (error) {
      dispose(autoencoder.params);
      throw error;
    }
  },
  plan: ({ model, options: { autoencoder, sources }, stored }) => {
    const [folder] = autoencoder === undefined
      ? Object.values(foldersOf("ipt", "sources", sources, 1))
      : [autoencoder as string];
    return promptTuning({ length: storedRows(stored(folder!), model.spec) }) as Method;
  },
  survey: {
    kinds: "A",
    storage: "yes",
    memory: "yes",
    backward: "no",
    overhead: "Extra FFN and input",
    trainable: "56.0",
    changed: "56.0",
    differs: "56 % is the autoencoder over all tasks at 250 dimensions; one task trains its 5 to 250 numbers",
  },
  published: {
    setting: (model) => `250 numbers for ${promptRows(model, 100)} rows`,
    make: (model) => {
      const autoencoder = iptAutoencoder({ prompts: { task: trainedPrompt(model) }, task: "task" });
      return ipt({ autoencoder: adapt(model, autoencoder) }) as Method;
    },
  },
};

/** An autoencoder that nobody trained, of given prompts, which it owns. */
async function freshAutoencoder(
  model: Model,
  { sources, task, ...sizes }: Readonly<Record<string, unknown>>,
  load: Preparing["load"],
  seed: number,
): Promise<Adapter> {
  const prompts = await loadAll(load, foldersOf("ipt", "sources", sources, 1));
  try {
    const of = (task ?? Object.keys(prompts)[0]) as string;
    return adapt(model, iptAutoencoder({ ...sizes, prompts, task: of }), seed) as Adapter;
  } catch (error) {
    freeAll(prompts);
    throw error;
  }
}

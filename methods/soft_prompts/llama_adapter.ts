/**
 * LLaMA-Adapter. Zhang et al. 2023, "LLaMA-Adapter: Efficient Fine-tuning of Language Models with Zero-init Attention",
 * arXiv 2303.16199, equations 1 to 7.
 *
 *   o_l = W_o ( g_l ⊙ softmax(Q K_Pᵀ / √d) V_P + softmax(Q Kᵀ / √d) V )        g_l = tanh(γ_l), a γ for each head, 0 initially
 *   K_P = W_k P_l    V_P = W_v P_l        P_l [n, d] trained, in each of the L upper blocks
 *
 * The prompt has a separate softmax, so a new adapter leaves the model unchanged; its keys have no positions,
 * and every token sees them. PEFT has one γ per block and no tanh: options `gates` and `squash`.
 */
import {
  type AttentionPlace,
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  key as keyOf,
  paramsAt,
  type Spec,
  type Tensor,
} from "../../core/mod.ts";
import { bounded, count, oneOf, option } from "../../core/options/mod.ts";
import { normal, reshape, tanh, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { lengthOption } from "./prompt_options.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of LLaMA-Adapter. */
export interface LlamaAdapterOptions {
  /** n, rows of the prompt in a block. Default 10, the paper's. */
  readonly length?: number;
  /** L, blocks from the top. Default all but the lowest two: the paper has 30 of 32. */
  readonly layers?: number | undefined;
  /** A γ for each head ("heads", default) or one for a block ("block", as PEFT). */
  readonly gates?: "heads" | "block";
  /** g = tanh(γ) (default), or γ itself ("none", as PEFT). */
  readonly squash?: "tanh" | "none";
}

/** One block's parameters: prompt [n, d], gate [heads] or [1]. */
export type LlamaAdapterParams = { readonly prompt: Tensor; readonly gate: Tensor };

/**
 * LLaMA-Adapter as a method, on the self-attentions of the generating stack (the only one, or the decoder).
 * Parameters: `prompt` [n, d] and `gate` [heads] under each attention's path.
 *
 * @throws {RangeError} when the length or L is not a positive integer; at init, when there are fewer blocks.
 * @example
 * ```ts
 * import { adapt, count, freshModel, llamaAdapter, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, llamaAdapter({ length: 5, layers: 1 }));
 * assert.equal(count(model, adapter).trainable, 5 * 16 + 2); // rows of 16 numbers, two heads
 * ```
 */
export const llamaAdapter: DefinedMethod<LlamaAdapterOptions> = defineMethod<LlamaAdapterOptions>({
  name: "llama-adapter",
  summary: "Lets the upper attentions read trained rows, through gates that start at zero.",
  facts: { "parameters kept": "L (n d + h)", "parameters trained": "the same" },
  aliases: ["adaption-prompt"],
  title: "LLaMA-Adapter",
  options: {
    length: lengthOption(10),
    layers: option(bounded(count, "blocks"), "L, blocks from the top; by default all but the lowest two"),
    gates: option(oneOf("heads", "block"), "a γ for each head, or one for a block", "heads"),
    squash: option(oneOf("tanh", "none"), "g = tanh(γ), or γ itself", "tanh"),
  },
  create: ({ length, layers, gates, squash }) => ({
    init: ({ model, key }) =>
      freshParams(() =>
        llamaAdapterPlaces(model.spec, layers).flatMap(({ path, heads, width }) => [
          [
            `${path}.prompt`,
            normal(fold(keyOf(key), `${path}.prompt`), [length, width], model.backend),
          ] as const,
          [`${path}.gate`, zeros([gates === "heads" ? heads : 1], model.backend)] as const,
        ])
      ),
    edits: (params, spec) =>
      llamaAdapterPlaces(spec, layers).map(({ path }) => ({
        kind: "prefix",
        path,
        positions: 0,
        rows: fn(paramsAt(params, path) as LlamaAdapterParams, ({ prompt, gate }, call) => ({
          ...call.project(reshape(prompt, [1, ...prompt.shape])), // [1, n, kvHeads, headDim]
          gate: squash === "tanh" ? tanh(gate) : gate,
        })),
      })),
  }),
  cli: { rate: 9e-3, flags: ["length"] },
  published: { setting: "10 rows in all blocks but two" },
});

/**
 * The attentions of the L upper blocks, each with the width of its states.
 *
 * @throws {RangeError} when there are fewer.
 * @example
 * ```ts
 * import { freshModel, llamaAdapterPlaces, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const [place] = llamaAdapterPlaces(spec, 1);
 * assert.deepEqual([place!.path, place!.width], ["model.layers.1.self_attn", 16]);
 * ```
 */
export function llamaAdapterPlaces(
  { attentions, blocks }: Spec,
  layers?: number,
): readonly (AttentionPlace & { readonly width: number })[] {
  const all = attentions.filter(({ role }) => role === "self");
  const own = all.filter(({ stack }) => stack === all[all.length - 1]!.stack); // the decoder's are the last
  const wanted = layers ?? Math.max(1, own.length - 2);
  if (own.length < wanted) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot put llama-adapter in ${wanted} blocks: the model has ${own.length} that attend to their own text`,
    );
  }
  return own.slice(-wanted).map((place) => {
    const block = blocks.find(({ stack, layer }) => stack === place.stack && layer === place.layer)!;
    return { ...place, width: block.width };
  });
}

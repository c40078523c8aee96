/**
 * UniPELT. Mao et al. 2022, "UniPELT: A Unified Framework for Parameter-Efficient Language Model Tuning", arXiv 2110.07577.
 *
 *   W_q x + g_q B A x   (and v)      [g_p P_K; K]   [g_p P_V; V]      h ← h + g_a U σ(D z)      z = LN(h + x)
 *   g = mean over tokens of σ(w · input + b)        one number a text and place
 *
 * LoRA, prefixes and adapters, each under gates that read what it reads itself: LoRA the input of its own layer (so query and
 * value have gates apart), the prefix the attention's input with one gate for keys and values, the adapter the normed sum. The
 * gate stands in the place of LoRA's α/r. At g = 0 a prefix remains as rows of zeros that take attention.
 *
 * The gate sees the whole text, tokens after the present one included, so a decoder's output depends on what follows, and a
 * continued pass differs from one over the whole text: the method is meant for encoders.
 */
import { compose, type Gate, gated, type Method } from "../../core/mod.ts";
import { centralGate } from "./central_gate.ts";
import { lora, type LoraOptions } from "../low_rank/lora.ts";
import { pfeiffer, type PfeifferOptions } from "../adapters/pfeiffer.ts";
import { prefixTuning, type PrefixTuningOptions } from "../soft_prompts/prefix_tuning.ts";
import { sentenceGate } from "./sentence_gate.ts";

/** Options of UniPELT. A part that is "none" is left out: the paper's AP has no LoRA. */
export interface UnipeltOptions {
  /** Default 10 rows made by a network of width 512. */
  readonly prefix?: PrefixTuningOptions | "none";
  /** Default r = 8; α/r has no say, since the gate replaces it. */
  readonly lora?: Omit<LoraOptions, "alpha" | "alphaPattern" | "scaling" | "bias"> | "none";
  /** Default reduction 16. */
  readonly adapter?: PfeifferOptions | "none";
  /** A gate at each place (default `sentenceGate()`), or one a block that shares it out among the parts. */
  readonly gate?: Gate | "central";
}

/**
 * UniPELT as a composition of gated methods: parameters under `prefix`, `lora` and `adapter`, each `of` the part and its `gates`;
 * with a central gate as `centralGate` has them.
 *
 * @throws {RangeError} when an option of a part is out of range, or every part is "none".
 * @example
 * ```ts
 * import { unipelt } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(unipelt({ lora: "none" }).name, "compose(prefix, adapter)");
 * ```
 */
export function unipelt(options: UnipeltOptions = {}): Method {
  const { prefix = {}, lora: l = {}, adapter = {}, gate = sentenceGate() } = options;
  const parts: Readonly<Record<string, Method>> = {
    ...prefix !== "none" && { prefix: prefixTuning({ positions: "none", ...prefix }) },
    ...l !== "none" && { lora: lora({ ...l, ...unscaled(l) }) },
    ...adapter !== "none" && { adapter: pfeiffer(adapter) },
  };
  if (Object.keys(parts).length === 0) {
    throw new RangeError('Expected at least one part of unipelt but found every one to be "none"');
  }
  if (gate === "central") return centralGate(parts);
  return compose(Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, gated(part, gate)])));
}

/** α = r wherever a rank is given, so that the gate alone scales. */
function unscaled({ rank = 8, rankPattern }: Pick<LoraOptions, "rank" | "rankPattern">): LoraOptions {
  return { rank, alpha: rank, ...rankPattern && { alphaPattern: rankPattern } };
}

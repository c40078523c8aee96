/**
 * Attention fusion. Cao, Prakash and Hamza 2022, "Attention Fusion: a light yet efficient late fusion mechanism for task
 * adaptation in NLU", Findings of NAACL 2022. (Not AdapterFusion.)
 *
 *   α_j = softmax_j( q · h_t^j )      ĥ_t = Σ_j α_j h_t^j      for each token t, over the outputs of the blocks j
 *
 * The head reads ĥ instead of the last states; only q [d] and the head are trained, and no gradient flows
 * into the backbone. Code and full details are not public. Details missing from the abstract are options: the
 * embedded input counts as a layer or not, scores are divided by √d or not, q starts at zero (a plain mean of
 * the layers) or normal. A stack's last norm, where there is one, is applied after the mixing.
 */
import {
  type DefinedMethod,
  defineMethod,
  fn,
  fold,
  key as keyOf,
  onlyStack,
  type SideCall,
  type Tensor,
} from "../../core/mod.ts";
import { oneOf, option } from "../../core/options/mod.ts";
import { addAll, concat, matmul, multiply, normal, reshape, slice, softmax, zeros } from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { lastNorms, readLastNorms } from "./side_weights.ts";

/** Options of attention fusion. */
export interface AttentionFusionOptions {
  /** Whether the embedded input counts as a layer. Default "excluded". */
  readonly embedding?: "included" | "excluded";
  /** Scores unscaled ("none", default) or divided by √d. */
  readonly scale?: "none" | "root";
  /** Initialization of q: "zero" (default), or normal with standard deviation 0.02. */
  readonly query?: "zero" | "normal";
}

/**
 * Attention fusion as a method, for models with one stack: parameter `query` [d]. The head is a separate
 * method: `compose({ fusion: attentionFusion(), head: modulesToSave({ modules: ["classifier"] }) })`.
 *
 * @throws {RangeError} at init, when the model has two stacks.
 * @example
 * ```ts
 * import { attentionFusion } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(attentionFusion({ scale: "root" }).name, "attention-fusion");
 * ```
 */
export const attentionFusion: DefinedMethod<AttentionFusionOptions> = defineMethod<AttentionFusionOptions>({
  name: "attention-fusion",
  summary: "Reads each token from a trained weighting of all blocks' outputs.",
  facts: { parameters: "d", "gradient through the base": "none", source: "Findings of NAACL 2022" },
  title: "attention fusion",
  options: {
    embedding: option(oneOf("included", "excluded"), "whether the embedded input is a layer", "excluded"),
    scale: option(oneOf("none", "root"), "by what scores are divided: nothing, or √d", "none"),
    query: option(oneOf("zero", "normal"), "how q starts", "zero"),
  },
  create: ({ embedding, scale, query }) => ({
    init: ({ model: { spec, backend }, key }) =>
      freshParams(() => {
        const { width } = onlyStack(spec, "attention-fusion");
        const start = query === "zero"
          ? zeros([width], backend)
          : normal(fold(keyOf(key), "query"), [width], backend, 0.02);
        return [["query", start]];
      }),
    edits: (params, spec) => {
      const { path, stack, layers, width } = onlyStack(spec, "attention-fusion");
      const first = embedding === "included" ? -1 : 0;
      const read = Array.from({ length: layers - first }, (_, i) => first + i);
      const norms = lastNorms(spec);
      const run = (query: Tensor, call: SideCall): Tensor => {
        const states = read.map((layer) => call.tap(layer)); // [b, t, d] each
        const by = reshape(scale === "root" ? multiply(query, 1 / Math.sqrt(width)) : query, [width, 1]);
        const α = softmax(concat(states.map((h) => matmul(h, by)), 2)); // [b, t, layers]
        const mixed = addAll(states.map((h, j) => multiply(h, slice(α, 2, j, j + 1))));
        return call.finish(readLastNorms(call, norms), mixed);
      };
      return [{ kind: "side", path, stack, run: fn(params["query"] as Tensor, run) }];
    },
  }),
  cli: { rate: 1e-2, flags: [] },
  survey: {
    kinds: "A",
    storage: "yes",
    memory: "yes",
    backward: "yes",
    overhead: "Extra decoder",
  },
  published: { setting: "one query" },
});

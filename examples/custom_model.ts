/**
 * A custom model: blocks that attend with one matrix for queries, keys and values. Every method works on it.
 *
 *   deno run examples/custom_model.ts
 */
import { adapt, type Architecture, count, generateIds, graft, houlsby, lora, newModel } from "@graft/peft";
import { prefixTuning, reference, type Spec, type Tensor } from "@graft/peft";
import { attention, embedding, hidden, into, linear, type Pass, type Site } from "@graft/peft/core";
import { blockPlaces, freshWeights, stackStates, vocabularyLogits } from "@graft/peft/models";
import { add, reshape } from "@graft/peft/ops";

const [d, heads, layers, v, stack] = [16, 2, 2, 32, "decoder"] as const; // v: vocabulary

/** x ← x + out(attend(mix(x))) [b, t, d]. */
function block(pass: Pass, site: Site, x: Tensor): Tensor {
  const [b, t] = [x.shape[0]!, x.shape[1]!];
  const q = reshape(linear(pass, into(site, "mix"), x), [b, t, heads, d / heads]);
  const y = reshape(attention(pass, site, { x, q, k: q, v: q }, { causal: true }), [b, t, d]);
  return add(x, hidden(pass, site, { x, skip: x }, linear(pass, into(site, "out"), y)));
}

const embed = (pass: Pass, root: Site, ids: Tensor) => embedding(pass, into(root, "words"), ids);
const parts = { stack: "", blocks: "blocks", layers, vocabulary: v, context: 64, embed, block };
const architecture: Architecture = {
  name: "plain",
  labels: () => "next",
  states: (model, batch, options) => stackStates(model, batch, options, parts),
  head: (model, x, options) => vocabularyLogits(model, x, options, { head: "head", table: "words" }),
};
const spec: Spec = {
  architecture: "plain",
  ...blockPlaces({
    ...{ path: "blocks", stack, layers, width: d, sublayers: [["", "attention"]] },
    linears: [["mix", "query", d, d], ["out", "output", d, d]],
    attention: { path: "", heads, keyValueHeads: heads, headDim: d / heads },
  }),
  embeddings: [{ kind: "embedding", path: "words", role: "token", rows: v, width: d, stack }],
  heads: [{ kind: "head", path: "head", inFeatures: d, outFeatures: v, bias: false, tiedTo: "words", stack }],
  stacks: [{ kind: "stack", path: "", entrance: "words", width: d, layers, stack }],
};
const backend = reference();
const weights = freshWeights(spec, () => true, { backend, key: 0, deviation: 0.3 });
const model = newModel({ architecture, spec, config: { model_type: "plain" }, weights, backend });
const narrow = houlsby({ reduction: 4, after: ["attention"] });
for (const method of [lora({ targets: "all-linear" }), narrow, prefixTuning({ network: "none" })]) {
  const adapter = adapt(model, method);
  const [ids] = await generateIds(graft(model, adapter), [[1, 2, 3]], { maxNewTokens: 5 });
  const { trainable } = count(model, adapter);
  console.log(`${method.name}: ${trainable} parameters, continues 1 2 3 with ${ids!.join(" ")}`);
}

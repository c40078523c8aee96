/**
 * A model of one's own: blocks that attend with one matrix for queries, keys and values. Every method then works on it.
 *
 *   deno run examples/custom_model.ts
 */
import {
  adapt,
  type Architecture,
  count,
  generateIds,
  graft,
  houlsby,
  lora,
  merge,
  newModel,
  prefixTuning,
  reference,
} from "@graft/peft";
import {
  attention,
  dispose,
  embedding,
  head,
  hidden,
  into,
  key,
  linear,
  type Pass,
  rootOf,
  type Site,
  type Spec,
  type Tensor,
  weight,
  weightPass,
} from "@graft/peft/core";
import { barePass, stackStates } from "@graft/peft/models";
import { add, normal, reshape } from "@graft/peft/ops";

const [d, heads, depth, vocabulary] = [16, 2, 2, 32];

/** x ← x + out(attend(mix(x))) [b, t, d]. */
function block(pass: Pass, site: Site, x: Tensor): Tensor {
  const q = reshape(linear(pass, into(site, "mix"), x), [x.shape[0]!, x.shape[1]!, heads, d / heads]); // [b, t, h, d/h]
  const y = reshape(attention(pass, site, { x, q, k: q, v: q }, { causal: true }), x.shape);
  return add(x, hidden(pass, site, { x, skip: x }, linear(pass, into(site, "out"), y)));
}

const plain: Architecture = {
  name: "plain",
  labels: () => "next",
  states: (model, batch, options) =>
    stackStates(model, batch, options, {
      ...{ stack: "", blocks: "blocks", layers: depth, vocabulary, context: 64 },
      embed: (pass, root, ids) => embedding(pass, into(root, "words"), ids),
      position: (_, __, x) => x,
      share: () => undefined,
      block,
      finish: (_, __, x) => x,
    }),
  head: (model, states, options) => {
    const root = rootOf(model.weights, weightPass(options));
    return head(
      barePass(model, options),
      into(root, "head"),
      weight(into(root, "words"), "weight"),
      undefined,
      states,
    );
  },
};

const stack = "decoder" as const;
const each = Array.from({ length: depth }, (_, layer) => ({ layer, stack, path: `blocks.${layer}` }));
const sizes = { inFeatures: d, outFeatures: d, transposed: false, bias: false };
const spec: Spec = {
  architecture: "plain",
  linears: each.flatMap(({ path, ...at }) => [
    { kind: "linear", path: `${path}.mix`, role: "query", ...sizes, ...at } as const,
    { kind: "linear", path: `${path}.out`, role: "output", ...sizes, ...at } as const,
  ]),
  attentions: each.map((at) => ({
    kind: "attention",
    role: "self",
    heads,
    keyValueHeads: heads,
    headDim: d / heads,
    ...at,
  })),
  sublayers: each.map((at) => ({ kind: "sublayer", role: "attention", width: d, ...at })),
  blocks: each.map((at) => ({ kind: "block", width: d, ...at })),
  norms: [],
  embeddings: [{ kind: "embedding", path: "words", role: "token", rows: vocabulary, width: d, stack }],
  heads: [{
    kind: "head",
    path: "head",
    inFeatures: d,
    outFeatures: vocabulary,
    bias: false,
    tiedTo: "words",
    stack,
  }],
  stacks: [{ kind: "stack", path: "", entrance: "words", width: d, layers: depth, stack }],
};

const backend = reference();
const random = (path: string, rows: number) =>
  [`${path}.weight`, normal(key(path.length), [rows, d], backend, 0.3)] as const;
const weights = [random("words", vocabulary), ...spec.linears.map(({ path }) => random(path, d))];
const model = newModel({ architecture: plain, spec, config: { model_type: "plain" }, weights, backend });

for (
  const method of [
    lora({ rank: 2, targets: "all-linear" }),
    houlsby({ reduction: 4, after: ["attention"] }),
    prefixTuning({ length: 2, network: "none" }),
  ]
) {
  const adapter = adapt(model, method);
  const [ids] = await generateIds(graft(model, adapter), [[1, 2, 3]], { maxNewTokens: 5 });
  console.log(
    `${method.name}: ${count(model, adapter).trainable} parameters, continues 1 2 3 with ${ids!.join(" ")}`,
  );
  dispose(adapter.params);
}
merge(model, adapt(model, lora({ rank: 2, targets: "all-linear" })));

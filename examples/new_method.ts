/**
 * A new method in thirty lines: a bias of rank one, y = W x + b + u (v · x), on the layers that leave a feed-forward part.
 *
 *   deno run examples/new_method.ts
 */
import {
  adapt,
  chooseTargets,
  count,
  freshModel,
  lookup,
  lossAndGrad,
  lowRank,
  reference,
} from "@graft/peft";
import { fold, key, type Method, methodFacts, nest, sizesOf, type Tensor, type Tree } from "@graft/peft/core";
import { normal, zeros } from "@graft/peft/ops";

export function rankOne(): Method {
  const targets = { targets: ["down_proj"] };
  return {
    name: "rankOne",
    config: {},
    init: ({ model, key: seed }) =>
      nest(
        chooseTargets(model.spec, targets).flatMap((place) => {
          const { inFeatures, outFeatures } = sizesOf(place);
          const v = normal(fold(key(seed), place.path), [1, inFeatures], model.backend, 0.1);
          return [[`${place.path}.v`, v], [
            `${place.path}.u`,
            zeros([outFeatures, 1], model.backend),
          ]] as const;
        }),
      ) as Tree,
    edits: (params, spec) =>
      chooseTargets(spec, targets).map(({ path }) => ({
        kind: "linear",
        path,
        change: {
          form: "add",
          map: lowRank(lookup(params, `${path}.v`) as Tensor, lookup(params, `${path}.u`) as Tensor, 1),
        },
      })),
  };
}

const config = {
  model_type: "llama",
  vocab_size: 64,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  tie_word_embeddings: true,
};
const model = freshModel(config, { backend: reference(), key: 0 });
const adapter = adapt(model, rankOne(), 1);
const inputIds = [[5, 6, 7, 8, 9]];
const { loss, grads } = await lossAndGrad(model, adapter, { inputIds, labels: inputIds });
console.log(
  `loss ${loss.toFixed(3)}, ${count(model, adapter).trainable} parameters, gradients of`,
  Object.keys(grads),
);
console.log("and it merges, though nobody wrote how:", methodFacts(model, rankOne()).merges);

/**
 * A new method in thirty lines: an update of rank one, y = W x + b + u (v · x), on the output layers of
 * feed-forward parts.
 *
 *   deno run examples/new_method.ts
 */
import { adapt, chooseTargets, count, freshModel, lookup, lossAndGrad, lowRank } from "@graft/peft";
import { reference, smallConfig } from "@graft/peft";
import { fold, key, type Method, methodCosts, nest, sizesOf, type Tensor, type Tree } from "@graft/peft/core";
import { normal, zeros } from "@graft/peft/ops";

export function rankOne(): Method {
  const targets = { targets: ["down_proj"] };
  return {
    name: "rankOne",
    config: {},
    init: ({ model, key: seed }) => {
      const leaves = chooseTargets(model.spec, targets).flatMap((place) => {
        const { inFeatures, outFeatures } = sizesOf(place);
        const v = normal(fold(key(seed), place.path), [1, inFeatures], model.backend, 0.1);
        const u = zeros([outFeatures, 1], model.backend);
        return [[`${place.path}.v`, v], [`${place.path}.u`, u]] as const;
      });
      return nest(leaves) as Tree;
    },
    edits: (params, spec) => {
      const at = (path: string): Tensor => lookup(params, path) as Tensor;
      return chooseTargets(spec, targets).map(({ path }) => ({
        ...{ kind: "linear", path },
        change: { form: "add", map: lowRank(at(`${path}.v`), at(`${path}.u`), 1) },
      }));
    },
  };
}

const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
const adapter = adapt(model, rankOne(), 1);
const inputIds = [[5, 6, 7, 8, 9]];
const { loss, grads } = await lossAndGrad(model, adapter, { inputIds, labels: inputIds });
const { trainable } = count(model, adapter);
console.log(`loss ${loss.toFixed(3)}, ${trainable} parameters, gradients of`, Object.keys(grads));
console.log("and it merges, though nobody wrote how:", methodCosts(model, rankOne()).merges);

/** LoRA obeys the laws of methods in each of its forms. */
import { chooseTargets, type Counts, type Model, sizesOf } from "../../../core/mod.ts";
import { lora, type LoraOptions } from "../../../methods/mod.ts";
import { tinyGpt2 } from "../../support/tiny_models.ts";
import { methodLaws } from "../../support/method_laws.ts";

/** Σ r (in + out), arXiv 2106.09685. */
function formula(options: LoraOptions): (model: Model) => Partial<Counts> {
  return (model) => {
    const added = chooseTargets(model.spec, options).map(sizesOf)
      .reduce((n, { inFeatures, outFeatures }) => n + (options.rank ?? 8) * (inFeatures + outFeatures), 0);
    return { added, trainable: added };
  };
}

const FORMS: Readonly<Record<string, LoraOptions>> = {
  "lora()": {},
  "lora() everywhere, rank-stabilised, with dropout": {
    rank: 3,
    alpha: 5,
    scaling: "rankStabilized",
    dropout: 0.3,
    targets: "all-linear",
  },
  "lora() on the embedding and the head": {
    rank: 2,
    targets: (place) => place.kind === "embedding" && place.role === "token" || place.kind === "head",
  },
};

for (const [title, options] of Object.entries(FORMS)) {
  methodLaws(title, {
    method: () => ({ method: lora(options) }),
    atInit: "base",
    merges: "and unmerges",
    counts: formula(options),
  });
}

methodLaws("lora() with a bias of its own and the base's biases", {
  method: () => ({ method: lora({ rank: 2, targets: "all-linear", bias: "all", branchBias: true }) }),
  atInit: "base",
  merges: "only", // a trained bias has replaced the base's
  counts: () => ({}),
  models: [(backend, key) => tinyGpt2(backend, key)], // the one with biases
});

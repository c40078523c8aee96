/** Selective methods obey the laws of methods: all leave the model as it is at first. */
import { type Counts, type Method, type Model, scaled, weightLeaves } from "../../core/mod.ts";
import {
  bitfit,
  crossAttention,
  diffPruning,
  far,
  feedForwardLayers,
  fishMask,
  isGate,
  layerNormTune,
  ltSft,
  type SparseMask,
  topLayers,
} from "../../methods/mod.ts";
import { methodLaws } from "../support/method_laws.ts";
import type { Made } from "../support/subject.ts";
import { tinyGpt2, tinyLlama, tinyT5 } from "../support/tiny_models.ts";

const just = (method: Method) => (): Made => ({ method });

/** Elements of the leaves that a pattern matches. */
function elements(model: Model, pattern: RegExp): number {
  return weightLeaves(model.weights).filter(([path]) => pattern.test(path))
    .reduce((n, [, t]) => n + t.size, 0);
}

const changedOnly = (n: number): Partial<Counts> => ({ added: 0, trainable: n, changed: n, stored: n });

methodLaws("bitfit()", {
  method: just(bitfit()),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const present = elements(model, /\.bias$/);
    const { linears, norms, heads } = model.spec;
    const missing = [
      ...linears.filter((p) => !p.bias).map((p) => p.outFeatures),
      ...norms.filter((p) => !p.bias).map((p) => p.width),
      ...heads.filter((p) => !p.bias).map((p) => p.outFeatures),
    ].reduce((a, b) => a + b, 0);
    return { added: missing, trainable: present + missing, changed: present };
  },
});
methodLaws("bitfit() of the biases that are there", {
  method: just(bitfit({ missing: "skip" })),
  atInit: "base",
  merges: "only",
  counts: (model) => changedOnly(elements(model, /\.bias$/)),
  models: [(backend, key) => tinyGpt2(backend, key)],
});
methodLaws("layerNormTune()", {
  method: just(layerNormTune()),
  atInit: "base",
  merges: "only",
  counts: (model) => changedOnly(elements(model, /(norm|ln_1|ln_2|ln_f)\.(weight|bias)$/)),
});
methodLaws("topLayers()", {
  method: just(topLayers()),
  atInit: "base",
  merges: "only",
  counts: (model) => changedOnly(elements(model, /\.1\.|(model\.norm|ln_f|lm_head)\./)),
});
methodLaws("topLayers() with the tied matrix", {
  method: just(topLayers({ blocks: 2, tied: "trained" })),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const { tiedTo = "" } = model.spec.heads[0]!;
    return changedOnly(
      elements(model, new RegExp(`\\.[01]\\.|(model\\.norm|ln_f|lm_head|${RegExp.escape(tiedTo)})\\.w`)),
    );
  },
});

/** Every 7th element of each matrix, and a leaf as a whole. */
function everySeventh(model: Model): SparseMask {
  const leaves = weightLeaves(model.weights);
  const whole = [leaves[leaves.length - 1]![0]];
  return {
    leaves: leaves.filter(([path]) => !whole.includes(path)).map(([path, t]) => ({
      path,
      shape: t.shape,
      indices: Int32Array.from({ length: Math.floor(t.size / 7) }, (_, i) => 7 * i + 3),
    })),
    whole,
  };
}
methodLaws("fishMask()", {
  method: (model) => ({ method: fishMask({ mask: everySeventh(model) }) }),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const { leaves, whole } = everySeventh(model);
    const masked = leaves.reduce((n, { indices }) => n + indices.length, 0);
    const n = weightLeaves(model.weights).find(([path]) => path === whole[0])![1].size;
    return { added: 0, trainable: masked + n, changed: masked + n, stored: 2 * masked + n };
  },
});

const SIZE = (model: Model): number => weightLeaves(model.weights).reduce((n, [, t]) => n + t.size, 0);
for (const [structure, penalty] of [["tensor", "sum"], ["tensor", "product"], ["none", "sum"]] as const) {
  methodLaws(`diffPruning() with structure ${structure}, penalty ${penalty}`, {
    method: just(diffPruning({ sparsity: 1e-3, structure, penalty, initialAlpha: 1 })),
    atInit: "base",
    merges: "only",
    // 200 %: a difference and a gate for each weight, and a gate for each tensor.
    counts: (model) => ({
      trainable: 2 * SIZE(model) + (structure === "tensor" ? weightLeaves(model.weights).length : 0),
      changed: SIZE(model),
    }),
    // A clipped gate has a corner; the golden case judges those.
    unlikeDifferences: (path) => isGate(path),
  });
}
methodLaws("ltSft() with a pull", {
  method: (model) => ({ method: ltSft({ mask: { ...everySeventh(model), whole: [] }, pull: 0.3 }) }),
  atInit: "base",
  merges: "only",
  counts: () => ({}),
  unlikeDifferences: () => false,
});

/** Every third node of each feed-forward layer. */
const learners = ({ spec }: Model): Readonly<Record<string, readonly number[]>> =>
  Object.fromEntries(
    feedForwardLayers(spec).map(({ path, outFeatures }) => [
      path,
      Array.from({ length: Math.floor(outFeatures / 3) }, (_, j) => 3 * j + 1),
    ]),
  );
for (const [name, tiny] of [["without", tinyLlama], ["with", tinyGpt2]] as const) {
  methodLaws(`far() ${name} biases`, {
    method: (model) => ({ method: far({ learners: learners(model) }) }),
    atInit: "base",
    merges: name === "without" ? "and unmerges" : "only",
    counts: (model) => {
      const n = feedForwardLayers(model.spec).reduce(
        (n, { path, inFeatures, bias }) => n + learners(model)[path]!.length * (inFeatures + (bias ? 1 : 0)),
        0,
      );
      return { trainable: n, changed: n };
    },
    models: [(backend, key) => tiny(backend, key)],
  });
}

methodLaws("scaled(bitfit(), 0.7), added biases included", {
  method: just(scaled(bitfit(), 0.7)),
  atInit: "base",
  merges: "only",
  counts: () => ({}),
});

/** An encoder and a decoder. A cache holds the decoder's tokens only, which the law of caches does not know. */
const T5 = { models: [tinyT5], looksAhead: true } as const;
methodLaws("crossAttention() on T5", {
  ...T5,
  method: just(crossAttention()),
  atInit: "base",
  merges: "only",
  counts: (model) => changedOnly(elements(model, /EncDecAttention|decoder\.block\.\d\.layer\.1\.layer_norm/)),
});
methodLaws("crossAttention() on T5, anew and with embeddings", {
  ...T5,
  method: just(crossAttention({ start: "random", embeddings: "trained" })),
  atInit: "other",
  merges: "only",
  counts: (model) =>
    changedOnly(elements(model, /EncDecAttention|decoder\.block\.\d\.layer\.1\.layer_norm|^shared\./)),
});
methodLaws("topLayers() of T5's decoder", {
  ...T5,
  method: just(topLayers({ stack: "decoder" })),
  atInit: "base",
  merges: "only",
  counts: (model) => changedOnly(elements(model, /^decoder\.(block\.1|final_layer_norm)\./)),
});

/** Every other method obeys the laws of methods. */
import { chooseTargets, type Counts, layers, type Model, sizesOf } from "../../core/mod.ts";
import { at, keep, type Method, weightLeaves } from "../../core/mod.ts";
import { adamix, dora, fullFineTune, ia3, ladderSideTuning, lora, only } from "../../methods/mod.ts";
import { pfeiffer, prefixTuning, xlora, type XloraOptions } from "../../methods/mod.ts";
import { type Made, TINY_MODELS } from "../support/subject.ts";
import { methodLaws } from "../support/method_laws.ts";

const just = (method: Method) => (): Made => ({ method });
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
const added = (n: number): Partial<Counts> => ({ added: n, trainable: n, changed: 0 });
const WIDTH = 12;
const LAYERS = 2;

methodLaws("ia3()", {
  method: just(ia3()),
  atInit: "base",
  merges: "and unmerges",
  counts: ({ spec }) => {
    const of = (role: string) => spec.linears.filter((place) => place.role === role);
    const out = sum([...of("key"), ...of("value"), ...of("qkv")].map((place) => place.outFeatures));
    const n = out + sum(of("down").map((place) => place.inFeatures));
    return { added: n, trainable: n };
  },
});

methodLaws("fullFineTune()", {
  method: just(fullFineTune()),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const n = sum(weightLeaves(model.weights).map(([, t]) => t.size));
    return { base: n, added: 0, trainable: n, changed: n, stored: n };
  },
});

methodLaws("only() of a norm and a projection", {
  method: just(only({ parameters: /.*(norm|ln_f)\.weight|.*\.0\..*(o_proj|c_attn)\.weight/ })),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const n = sum(
      weightLeaves(model.weights)
        .filter(([path]) => /(norm|ln_f)\.weight$|\.0\..*(o_proj|c_attn)\.weight$/.test(path))
        .map(([, t]) => t.size),
    );
    return { added: 0, trainable: n, changed: n };
  },
});

const DORA = { rank: 2, targets: "all-linear" } as const;
const doraCounts = (model: Model): Partial<Counts> => {
  const sizes = chooseTargets(model.spec, DORA).map(sizesOf);
  const n = sum(sizes.map((s) => 2 * (s.inFeatures + s.outFeatures) + s.outFeatures));
  return { added: n, trainable: n };
};
/** ‖V‖ is a constant for A and B; PEFT's gradients are in the golden case. */
const unlikeDifferences = (path: string): boolean => !path.endsWith(".magnitude");
methodLaws("dora()", {
  method: just(dora(DORA)),
  atInit: "base",
  merges: "only",
  counts: doraCounts,
  unlikeDifferences,
});
methodLaws("dora() with dropout", {
  method: just(dora({ ...DORA, dropout: 0.3 })),
  atInit: "base",
  merges: "only",
  counts: doraCounts,
  unlikeDifferences,
});
// Here the norm has a derivative; α apart from r, since it has no say in the norm. A GPT-2 has the biases that are scaled.
methodLaws("dora() as AdapterHub has it", {
  method: just(dora({ ...DORA, alpha: 5, dropout: 0.3, decomposition: "adapterHub" })),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const sizes = chooseTargets(model.spec, DORA);
    const shifted = sum(sizes.map((p) => p.kind === "linear" && p.bias ? p.outFeatures : 0));
    const matrices = sum(sizes.map(sizesOf).map((s) => s.inFeatures * s.outFeatures));
    return { ...doraCounts(model), changed: matrices + shifted };
  },
});
methodLaws("dora() on the embedding and the head", {
  method: just(dora({ rank: 2, targets: ["embed_tokens", "lm_head"] })),
  atInit: "base",
  merges: "only",
  counts: () => ({}),
  models: TINY_MODELS.slice(0, 1),
  unlikeDifferences,
});

/** L (2 r d + r + d) for one bottleneck a layer. */
const bottlenecks = (r: number): number => LAYERS * (2 * r * WIDTH + r + WIDTH);

// "gelu", since differences of the loss stumble over the corner of "relu"; the golden case has "relu".
for (const reads of ["normed", "output"] as const) {
  methodLaws(`pfeiffer() reading ${reads}`, {
    method: just(pfeiffer({ reduction: 4, activation: "gelu", reads })),
    atInit: "other",
    merges: "no",
    counts: () => added(bottlenecks(3)),
  });
}
methodLaws("at(layers(1), pfeiffer())", {
  method: just(at(layers(1), pfeiffer({ reduction: 4, activation: "tanh" }))),
  atInit: "other",
  merges: "no",
  counts: () => added(bottlenecks(3) / 2),
});

methodLaws("adamix()", {
  method: just(adamix({ reduction: 4 })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  // Four D and a, one U and b, as the released BERT-base file has them.
  counts: () => added(LAYERS * (4 * (WIDTH * 3 + 3) + 3 * WIDTH + WIDTH)),
});
methodLaws("adamix() of both sides", {
  method: just(adamix({ reduction: 4, experts: 3, mixes: "both" })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => added(3 * bottlenecks(3)),
});

/** 2 n d for the key and value heads of each attention. */
const rows = ({ spec }: Model, n: number): number =>
  sum(spec.attentions.map((place) => 2 * n * place.keyValueHeads * place.headDim));
for (const positions of ["past", "none"] as const) {
  methodLaws(`prefixTuning() without a network, positions ${positions}`, {
    method: just(prefixTuning({ length: 3, network: "none", positions })),
    atInit: "other",
    merges: "no",
    counts: (model) => added(rows(model, 3)),
  });
}
methodLaws("prefixTuning() with a network and dropout", {
  method: just(prefixTuning({ length: 3, network: { hidden: 5 }, dropout: 0.2 })),
  atInit: "other",
  merges: "no",
  finalizes: true,
  // e [n, d], W1 [k, d], b1, and k + 1 for each number of a row.
  counts: (model) => added(3 * WIDTH + 5 * WIDTH + 5 + (5 + 1) * rows(model, 1)),
});

/** X-LoRA over experts of ranks 1 to n with both factors random. */
function mixing(n: number, options: Omit<XloraOptions, "experts">): (model: Model) => Made {
  return (model) => {
    const methods = Array.from({ length: n }, (_, i) => lora({ rank: i + 1, initialization: "none" }));
    const trained = methods.map((method, i) => keep(method.init({ model, key: i })));
    const experts = Object.fromEntries(
      methods.map((method, i) => [`expert${i}`, { method, params: trained[i]!.tree }]),
    );
    return {
      method: xlora({ ...options, experts }),
      dispose: () => trained.forEach((root) => root.dispose()),
    };
  };
}

methodLaws("xlora()", {
  method: mixing(2, {}),
  atInit: "other",
  merges: "no",
  counts: () => ({ trainable: WIDTH * 2 + 2 }), // d K + K
});
methodLaws("xlora() with a λ for each layer and a deep router", {
  method: mixing(2, { depth: 2, size: 5, routes: "layerwise", temperature: 0.5 }),
  atInit: "other",
  merges: "no",
  counts: (model) => {
    const adapted = chooseTargets(model.spec, {}).length;
    return { trainable: WIDTH * 5 + 5 + (5 + 1) * 2 * adapted };
  },
  unlikeDifferences: (path) => path.startsWith("router.0."), // behind the ReLU
});
methodLaws("xlora() training its experts too", {
  method: mixing(2, { trains: "all" }),
  atInit: "other",
  merges: "no",
  counts: (model) => {
    const sizes = chooseTargets(model.spec, {}).map(sizesOf);
    return { trainable: WIDTH * 2 + 2 + 3 * sum(sizes.map((s) => s.inFeatures + s.outFeatures)) };
  },
});

/** Blocks and last norm at half the size, L + 1 downs, one up, L gates. */
methodLaws("ladderSideTuning()", {
  method: just(ladderSideTuning({ reduction: 2 })),
  atInit: "other",
  merges: "no",
  counts: ({ spec }) => {
    const linears = sum(
      spec.linears.map((p) => (p.inFeatures / 2) * (p.outFeatures / 2) + (p.bias ? p.outFeatures / 2 : 0)),
    );
    const norms = sum(spec.norms.map((p) => (p.bias ? 2 : 1) * p.width / 2));
    const downs = (LAYERS + 1) * (6 * WIDTH + 6);
    return added(linears + norms + downs + (WIDTH * 6 + WIDTH) + LAYERS);
  },
});
methodLaws("ladderSideTuning() with a block left out", {
  method: just(ladderSideTuning({ reduction: 2, layers: [1] })),
  atInit: "other",
  merges: "no",
  counts: () => ({}),
  noGradient: [{
    leaves: /(^|\.)gates\.0$/,
    because:
      "A block that is left out keeps its gate, which the released code has and the paper's 1.74 % counts.",
  }],
});

/** Soft prompts obey the laws of methods. */
import { type Batch, type Counts, keep, type Method, type Model } from "../../core/mod.ts";
import {
  contextPromptTuning,
  ipt,
  iptAutoencoder,
  llamaAdapter,
  multitaskPromptTuning,
  prefixTuning,
  type PromptSources,
  promptTuning,
  pTuning,
  pTuningV2,
  spot,
} from "../../methods/mod.ts";
import { methodLaws } from "../support/method_laws.ts";
import type { Made } from "../support/subject.ts";
import { tinyLlama, tinyT5 } from "../support/tiny_models.ts";

const just = (method: Method) => (): Made => ({ method });
const added = (n: number): Partial<Counts> => ({ added: n, trainable: n, changed: 0 });
const D = 12;
const SLOT = 10;

/** Two slots before the text and one behind its first token; the text itself has none. */
function slotted({ inputIds, attentionMask, labels }: Batch): Batch {
  const among = <T>(row: readonly T[], slot: T): readonly T[] => [slot, slot, row[0]!, slot, ...row.slice(1)];
  return {
    inputIds: inputIds.map((row) => among(row.map((id) => id === SLOT ? 0 : id), SLOT)),
    attentionMask: attentionMask!.map((row) => among(row, 1)),
    labels: labels!.map((row) => among((row as readonly number[]).map((id) => id === SLOT ? 0 : id), -100)),
  };
}

methodLaws("promptTuning()", {
  method: just(promptTuning({ length: 3 }) as Method),
  atInit: "other",
  merges: "no",
  counts: () => added(3 * D), // l d
});

methodLaws("promptTuning() from labels, at slots", {
  method: just(
    promptTuning({
      length: 3,
      where: { token: SLOT },
      start: { from: "tokens", rows: [[1, 2], [3]] },
    }) as Method,
  ),
  atInit: "other",
  merges: "no",
  counts: () => added(3 * D),
  batch: slotted,
  looksAhead: true, // slots belong to the first pass: see below
});

methodLaws("pTuning() with the authors' BiLSTM", {
  method: just(pTuning({ length: 3, encoder: { kind: "lstm", dropout: 0.2 } }) as Method),
  atInit: "other",
  merges: "no",
  finalizes: true,
  // e; two layers both ways of 4H (in + H) + 8H with H = d/2; two linear layers
  counts: () => added(3 * D + 4 * (4 * 6 * (D + 6) + 8 * 6) + 2 * (D * D + D)),
  unlikeDifferences: (path) => !path.startsWith("mlp.1."), // behind the ReLU; the golden case has them
});

methodLaws("pTuning() with an MLP, at slots", {
  method: just(
    pTuning({ length: 3, where: { token: SLOT }, encoder: { kind: "mlp", hidden: [5, 7] } }) as Method,
  ),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => added(3 * D + (5 * D + 5) + (7 * 5 + 7) + (D * 7 + D)),
  batch: slotted,
  looksAhead: true,
  unlikeDifferences: (path) => !path.startsWith("mlp.2."),
});

/** Two prompts that stage 1 gave. */
function trained(model: Model): { readonly prompts: PromptSources; dispose(): void } {
  const method = promptTuning({ length: 3 }) as Method;
  const roots = [0, 1].map((seed) => keep(method.init({ model, key: seed })));
  const [one, two] = roots.map((root) => ({ method, params: root.tree }));
  return { prompts: { one: one!, two: two! }, dispose: () => roots.forEach((root) => root.dispose()) };
}

methodLaws("spot() of two sources", {
  method: (model) => {
    const { prompts, dispose } = trained(model);
    return { method: spot({ sources: prompts, weights: { one: 0.25, two: 0.75 } }) as Method, dispose };
  },
  atInit: "other",
  merges: "no",
  counts: () => added(3 * D),
});

/** W₁, W₂, W₃ with biases, for prompts of n numbers. */
const coder = (n: number, k: number, hidden: number): number =>
  (n * k + k) + (k * hidden + hidden) + (hidden * n + n);
methodLaws("iptAutoencoder()", {
  method: (model) => {
    const { prompts, dispose } = trained(model);
    return {
      method: iptAutoencoder({ prompts, task: "two", intrinsic: 4, reconstruction: 2 }) as Method,
      dispose,
    };
  },
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({ trainable: coder(3 * D, 4, D), changed: 0 }),
});

methodLaws("ipt()", {
  method: (model) => {
    const { prompts, dispose } = trained(model);
    const method = iptAutoencoder({ prompts, task: "one", intrinsic: 4 }) as Method;
    const params = keep(method.init({ model, key: 3 }));
    return {
      method: ipt({ autoencoder: { method, params: params.tree } }) as Method,
      dispose: () => {
        params.dispose();
        dispose();
      },
    };
  },
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({ trainable: 4, changed: 0 }),
});

methodLaws("pTuningV2()", {
  method: just(pTuningV2({ length: 3 }) as Method),
  atInit: "other",
  merges: "no",
  counts: ({ spec }) =>
    added(spec.attentions.reduce((n, place) => n + 2 * 3 * place.keyValueHeads * place.headDim, 0)),
});

methodLaws("pTuningV2() with a network", {
  method: just(pTuningV2({ length: 2, network: { hidden: 5 }, positions: "past" }) as Method),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({}),
});

/** Of an encoder and a decoder of two blocks each: two blocks share the rows of the decoder's first. Heads: 2 of size 5. */
for (const network of ["none", { hidden: 3 }] as const) {
  const numbers = network === "none" ? 2 * 3 * 10 : 3 * D + (3 * D + 3) + 2 * (10 * 3 + 10);
  methodLaws(`prefixTuning() with PEFT's shared rows, network ${network === "none" ? network : "of 3"}`, {
    method: just(prefixTuning({ length: 3, network, rows: "peft" })),
    atInit: "other",
    merges: "no",
    finalizes: network !== "none",
    counts: () => added(numbers),
    models: [(backend, key) => tinyT5(backend, key)],
    looksAhead: true, // an encoder reads the whole text
  });
}

const everyBlock = ({ spec }: Model, gates: "heads" | "block"): Partial<Counts> =>
  added(
    spec.attentions.filter(({ stack, role }) => role === "self" && stack === "decoder")
      .reduce((n, { heads }) => n + 3 * D + (gates === "heads" ? heads : 1), 0), // L (n d + h)
  );
methodLaws("llamaAdapter()", {
  method: just(llamaAdapter({ length: 3, layers: 2 })),
  atInit: "base",
  merges: "no",
  counts: (model) => everyBlock(model, "heads"),
});

methodLaws("llamaAdapter() with PEFT's gates, also in T5's decoder", {
  method: just(llamaAdapter({ length: 3, layers: 2, gates: "block", squash: "none" })),
  atInit: "base",
  merges: "no",
  counts: (model) => everyBlock(model, "block"),
  models: [
    (backend, key) => tinyLlama(backend, key),
    (backend, key) => tinyT5(backend, key),
  ],
  looksAhead: true, // an encoder reads the whole text
});

methodLaws("multitaskPromptTuning(), one of three tasks", {
  method: just(
    multitaskPromptTuning({ length: 3, rank: 2, tasks: ["a", "b", "c"], task: "b" }) as unknown as Method,
  ),
  atInit: "other",
  merges: "no",
  counts: () => added(3 * D + 3 * 2 * (3 + D)), // n d + T r (n + d)
});

methodLaws("contextPromptTuning()", {
  method: just(
    contextPromptTuning({ tokens: [1, 5, 2, 7], types: [1, 2, 3, 4], epsilon: 9, templateEpsilon: 9 }),
  ),
  atInit: "other",
  merges: "no",
  finalizes: true,
  counts: () => ({ trainable: 4 * D, changed: 0 }), // n d
});

/**
 * Adapters and hybrids equal AdapterHub's `adapters` 1.3 on tiny BERT, RoBERTa, T5 and Llama with padding
 * (tests/oracles/adapter_hub.py), and what no library has equals its equations (tests/oracles/late_fusion.py): logits and loss within 1e-5, gradients within 1e-4 of the largest value, as for f32 sums over
 * widths of 20 to 37 through two or three blocks.
 */
import assert from "node:assert/strict";
import {
  type Backend,
  type Batch,
  compose,
  forward,
  graft,
  keep,
  leaves,
  lossAndGrad,
  type Method,
  nest,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import {
  adapterFusion,
  attentionFusion,
  compacter,
  compacterPlusPlus,
  houlsby,
  invertibleAdapter,
  kronaB,
  kronaBres,
  lets,
  loreft,
  mam,
  parallelAdapter,
  pfeiffer,
  phmAdapter,
  unipelt,
} from "../../methods/mod.ts";
import { largest } from "../support/law_numbers.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN, goldenNumbers, goldenTensors } from "../support/golden.ts";

const SMALL = { prefix: { length: 3, network: { hidden: 5 } } } as const;
const compacted = (reduction: number) => compacter({ reduction, activation: "gelu" });
const beside = parallelAdapter({ reduction: 5, scale: "learned" });
const mixed = mam({ ...SMALL, parallel: { reduction: 5 } });
const SHARED = { ...SMALL, lora: { rank: 3 }, adapter: { reduction: 5 } } as const;
const unified = unipelt(SHARED);

/** Of the adapters that a case holds. */
const fused = (params: Tree): Method => {
  const frozen = params["frozen"] as Readonly<Record<string, Tree>>;
  const method = pfeiffer({ reduction: 5 });
  return adapterFusion({
    adapters: { a: { method, params: frozen["a"]! }, b: { method, params: frozen["b"]! } },
  });
};

const CASES: readonly (readonly [base: string, kind: string, method: Method | typeof fused])[] = [
  ...["bert_text", "llama"].map((base) => [base, "fusion", fused] as const),
  ...["bert_text", "roberta_tags", "t5", "llama"].map((base) =>
    [base, "houlsby", houlsby({ reduction: 5, activation: "silu" })] as const
  ),
  ["bert_text", "parallel", beside],
  ...["t5", "llama"].map((base) =>
    [
      base,
      "parallel_residual",
      parallelAdapter({ reduction: 5, scale: "learned", reads: "residual" }),
    ] as const
  ),
  ["roberta_tags", "parallel", parallelAdapter({ reduction: 3 })],
  ...["bert_text", "t5"].map((base) => [base, "compacter", compacted(5)] as const),
  ["llama", "compacter", compacted(6)],
  [
    "bert_tags",
    "compacter_plus",
    compacterPlusPlus({ reduction: 2, dimension: 2, rank: 3, activation: "gelu", reads: "normed" }),
  ],
  ["bert_tags", "phm", phmAdapter({ reduction: 5, dimension: 2, activation: "gelu" })],
  ...["bert_text", "roberta_tags"].map((base) => [base, "mam", mixed] as const),
  ["t5_square", "mam", mam({ ...SMALL, parallel: { reduction: 5, reads: "residual" } })],
  ...["bert_text", "roberta_tags", "t5_square"].map((base) => [base, "unipelt", unified] as const),
  ...["bert_text", "llama"].map((base) =>
    [base, "loreft", loreft({ rank: 3, first: 1, last: 1, ends: "apart" })] as const
  ),
  ["bert_tags", "loreft_tied", loreft({ rank: 3, first: 1, last: 1 })],
  ["bert_text", "central", unipelt({ ...SHARED, gate: "central" })],
  ["bert_text", "attention_fusion", attentionFusion({ embedding: "included", scale: "root" })],
  ["llama", "attention_fusion", attentionFusion()],
  ["bert_text", "lets", lets({ layers: [0, 2] })],
  ["llama", "lets", lets({ pool: "each", search: 0.3 })],
  ...["bert_text", "llama"].flatMap((base) => [
    [base, "krona_b", kronaB({ scale: 1.5, firstFactor: [4, 2] })] as const,
    [base, "krona_bres", kronaBres({ scale: 1.5, firstFactor: [4, 2] })] as const,
  ]),
  ["llama", "parallel", parallelAdapter({ reduction: 24 / 5.5 })],
  ["bert_tags", "direft", loreft({ rank: 3, first: 1, last: 0, rows: "free", subtracts: "nothing" })],
  ...["bert_mask", "llama"].map((base) =>
    [
      base,
      "invertible",
      compose({
        invertible: invertibleAdapter(),
        adapter: pfeiffer({ reduction: base === "llama" ? 6 : 5 }),
      }),
    ] as const
  ),
];

const FOLDERS: Readonly<Record<string, string>> = {
  t5_square: "encoder_edits/t5_square",
  llama: "llama_tiny/base",
};
const BATCHES: Readonly<Record<string, string>> = {
  t5_square: "encoders/t5/case.json",
  llama: "llama_tiny/batch.json",
};

function batchOf(base: string): Batch {
  return JSON.parse(Deno.readTextFileSync(`${GOLDEN}${BATCHES[base] ?? `encoders/${base}/case.json`}`));
}

/** Masks without holes, of as many tokens: adapters finds a text's end by its length. */
function paddedRight(batch: Batch): Batch {
  const attentionMask = batch.attentionMask!.map((row) => {
    const length = row.filter((m) => m === 1).length;
    return row.map((_, i) => i < length ? 1 : 0);
  });
  return { ...batch, attentionMask };
}

/** One text without a prompt: adapters edits the ends of prompt and answer together. */
function noPrompt(batch: Batch): Batch {
  return {
    ...batch,
    labels: batch.inputIds.map((row, i) => row.map((id, j) => batch.attentionMask![i]![j] === 1 ? id : -100)),
  };
}

/** The batch of a case. */
function batchFor(base: string, kind: string): Batch {
  const batch = batchOf(base);
  if (!/reft/.test(kind)) return batch;
  return base === "llama" ? noPrompt(paddedRight(batch)) : paddedRight(batch);
}

/** The parameters of a case, kept. */
function goldenTree(file: string, backend: Backend): ReturnType<typeof keep<Tree>> {
  return keep(scope((): Synchronous<Tree> =>
    nest(
      [...goldenTensors(file, backend)].filter(([name]) => name.startsWith("param."))
        .map(([name, t]) => [name.slice(6), t] as const),
    ) as Synchronous<Tree>
  ));
}

for (const backendName of ALL_BACKENDS) {
  for (const [base, kind, made] of CASES) {
    Deno.test(`${kind} on ${base} equals another program's logits, loss and gradients (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        assertNoLeak(async () => {
          const model = await loadModel(`${GOLDEN}${FOLDERS[base] ?? `encoders/${base}`}`, { backend });
          const file = `adapters/${base}_${kind}.safetensors`;
          const expected = goldenNumbers(file);
          const batch = batchFor(base, kind);
          const params = goldenTree(file, backend);
          const method = typeof made === "function" ? made(params.tree) : made;
          const fresh = keep(
            scope((): Synchronous<Tree> => method.init({ model, key: 0 }) as Synchronous<Tree>),
          );
          const shapes = (tree: Tree) =>
            Object.fromEntries(leaves(tree).map(([path, t]) => [path, t.shape] as const));
          assert.deepEqual(shapes(fresh.tree), shapes(params.tree), "names and shapes of the parameters");
          fresh.dispose();

          const adapter = { method, params: params.tree };
          const { logits } = forward(graft(model, adapter), batch);
          const mask = base.endsWith("tags") ? batch.attentionMask!.flat() : undefined;
          const real = (all: ArrayLike<number>): readonly number[] =>
            Array.from(all).filter((_, i) => mask?.[Math.floor(i / (all.length / mask.length))] !== 0);
          assertClose(real(await read(logits)), real(expected.get("logits")!), 1e-5, "logits");
          logits.storage.free();

          const { loss, grads } = await lossAndGrad(model, adapter, batch);
          const penalty = expected.get("penalty")?.[0] ?? 0;
          assertClose([loss], [expected.get("loss")![0]! + penalty], 1e-5, "loss");
          const found = new Map(leaves(grads));
          assert.deepEqual(
            [...found.keys()].sort(),
            [...expected.keys()].filter((name) => name.startsWith("grad.")).map((name) => name.slice(5))
              .sort(),
          );
          // What vanishes but for rounding (the bias of keys under a softmax) is measured against the other gradients.
          const gradients = [...expected].filter(([name]) => name.startsWith("grad."));
          const floor = 1e-2 * largest(gradients.flatMap(([, values]) => [...values]));
          for (const [path, t] of found) {
            assertClose([...await read(t), floor], [...expected.get(`grad.${path}`)!, floor], 1e-4, path);
          }
          for (const [, t] of found) t.storage.free();
          params.dispose();
          model.dispose();
        })));
  }
}

/** Folders of sentence-transformers beside its vectors, losses and metrics: tests/oracles/sentence_transformers_folders.py made them. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { type Adapter, dispose, type Model, read, type Tensor, tensor } from "../../core/mod.ts";
import {
  embedBatch,
  embeddedIds,
  embedTexts,
  loadEmbedder,
  saveEmbedder,
} from "../../io/sentence_transformers.ts";
import { embed } from "../../models/mod.ts";
import { fullFineTune } from "../../methods/mod.ts";
import { adapt, leaves } from "../../core/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import {
  cosent,
  groupRowsFrom,
  type Objective,
  objectiveGradients,
  ranking,
  retrievalScores,
  spearman,
  triplet,
  type VectorsOf,
} from "../../train/mod.ts";
import { assertClose } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { inFolder } from "../support/folder.ts";
import { GOLDEN } from "../support/golden.ts";

interface Cases {
  readonly texts: readonly string[];
  readonly vectors: Readonly<Record<string, readonly (readonly number[])[]>>;
  readonly pairs: readonly (readonly [string, string])[];
  readonly negatives: readonly string[];
  readonly scores: readonly number[];
  readonly losses: readonly {
    readonly name: string;
    readonly model: "bert" | "llama";
    readonly loss: number;
    /** Of the token table. */
    readonly gradient: readonly number[];
    /** Of the second matrix of the last block's feed-forward part. */
    readonly last: readonly number[];
  }[];
  readonly queries: readonly string[];
  readonly corpus: readonly string[];
  readonly relevant: Readonly<Record<string, readonly number[]>>;
  readonly retrieval: Readonly<Record<string, number>>;
  readonly spearman: number;
}

const FOLDER = `${GOLDEN}sentence_transformers_folders`;
const cases: Cases = JSON.parse(readFileSync(`${GOLDEN}sentence_transformers_folders/cases.json`, "utf8"));
const load = (name: "bert" | "roberta" | "llama") =>
  loadEmbedder(`${FOLDER}/${name}`, { backend: reference() });

function assertVectors(found: readonly Float32Array[], expected: readonly (readonly number[])[]): void {
  assert.equal(found.length, expected.length);
  found.forEach((vector, i) => assertClose(vector, expected[i]!, 1e-5, `vector ${i}`));
}

for (const name of ["bert", "roberta", "llama"] as const) {
  Deno.test(`${name} gives sentence-transformers' vectors, also when it is saved again`, async () => {
    const embedder = await load(name);
    assertVectors(await embedTexts(embedder, cases.texts, { batchSize: 4 }), cases.vectors[name]!);
    await inFolder(async (folder) => {
      await saveEmbedder(`${folder}/again`, embedder);
      writeFileSync(`${folder}/again/tokenizer.json`, readFileSync(`${FOLDER}/${name}/tokenizer.json`));
      const again = await loadEmbedder(`${folder}/again`, { backend: embedder.model.backend });
      assertVectors(await embedTexts(again, cases.texts), cases.vectors[name]!);
      assert.deepEqual([again.pooling, again.prompts, again.maxLength], [
        embedder.pooling,
        embedder.prompts,
        embedder.maxLength,
      ]);
      again.dispose();
    });
    embedder.dispose();
  });
}

Deno.test("a prompt stands before each text, and one that there is not is refused", async () => {
  const bert = await load("bert");
  assertVectors(await embedTexts(bert, cases.texts, { prompt: "query" }), cases.vectors["bert_query"]!);
  assert.throws(
    () => embeddedIds(bert, "tea", "title"),
    /Cannot use the prompt "title": the model has "document", "query"/,
  );
  bert.dispose();
  const roberta = await load("roberta");
  assert.deepEqual([roberta.pooling, roberta.defaultPrompt], ["first", "document"]);
  assertVectors(await embedTexts(roberta, cases.texts, { prompt: "query" }), cases.vectors["roberta_query"]!);
  roberta.dispose();
});

Deno.test("retrieval metrics and Spearman's correlation are sentence-transformers'", async () => {
  const bert = await load("bert");
  const [queries, texts] = [
    await embedTexts(bert, cases.queries, { prompt: "query" }),
    await embedTexts(bert, cases.corpus),
  ];
  const relevant = cases.queries.map((_, i) => cases.relevant[String(i)]!);
  const [at1, at3, at10] = [1, 3, 10].map((k) => retrievalScores(queries, texts, relevant, k));
  const wanted = cases.retrieval;
  assertClose(
    [at1!.accuracy, at3!.accuracy],
    [wanted["cosine_accuracy@1"]!, wanted["cosine_accuracy@3"]!],
    1e-9,
  );
  assertClose([at1!.recall, at3!.recall], [wanted["cosine_recall@1"]!, wanted["cosine_recall@3"]!], 1e-9);
  assertClose([at10!.mrr, at10!.ndcg], [wanted["cosine_mrr@10"]!, wanted["cosine_ndcg@10"]!], 1e-9);
  const [a, b] = [0, 1].map((side) => cases.pairs.map((pair) => pair[side]!));
  const [one, other] = [await embedTexts(bert, a!), await embedTexts(bert, b!)];
  const cosines = one.map((vector, i) => vector.reduce((sum, x, j) => sum + x * other[i]![j]!, 0));
  assertClose([spearman(cosines, cases.scores)], [cases.spearman], 1e-9);
  bert.dispose();
});

const onEach = cases.losses.flatMap((one) => ALL_BACKENDS.map((backendName) => ({ ...one, backendName })));
for (const { name, model: of, loss, gradient, last, backendName } of onEach) {
  Deno.test(`${name} has sentence-transformers' loss and gradients on ${backendName}`, () =>
    withBackend(backendName, async (backend) => {
      const embedder = await loadEmbedder(`${FOLDER}/${of}`, { backend });
      const vectors: VectorsOf = (model, batch, options) =>
        embedBatch({ ...embedder, model: model as typeof embedder.model }, batch, options);
      const objectives: Readonly<Record<string, Objective>> = {
        ranking: ranking({ vectors }),
        ranking_negatives: ranking({ vectors }),
        symmetric: ranking({ vectors, symmetric: true }),
        cosent: cosent({ vectors }),
        triplet: triplet({ vectors }),
        ranking_llama: ranking({ vectors }),
        triplet_llama: triplet({ vectors }),
      };
      const three = !["ranking", "symmetric", "cosent"].includes(name);
      const rows = groupRowsFrom(cases.pairs.map((pair, i) => ({
        texts: [...pair, ...three ? [cases.negatives[i]!] : []].map((text) => embeddedIds(embedder, text)),
        ...name === "cosent" && { similarity: cases.scores[i]! },
      })));
      const model: Model = embedder.model;
      const adapter: Adapter = adapt(model, fullFineTune(), 0);
      const found = objectiveGradients(objectives[name]!)(model, adapter, rows.batch([0, 1, 2], 0), {
        key: { a: 0, b: 0 },
      });
      assertClose(await read(found.value), [loss], 1e-5, "loss");
      const gradientOf = async (part: RegExp): Promise<ArrayLike<number>> =>
        await read(leaves(found.gradients).find(([path]) => part.test(path))![1] as Tensor);
      assertClose(
        await gradientOf(/word_embeddings|embed_tokens/),
        gradient,
        1e-4,
        "gradient of the token table",
      );
      assertClose(
        await gradientOf(/1\.output\.dense\.weight|1\.mlp\.down_proj/),
        last,
        1e-4,
        "gradient of the last block",
      );
      dispose([found.value, found.gradients, adapter.params]);
      embedder.dispose();
    }));
}

Deno.test("modules and poolings that are not known are refused by name", () =>
  inFolder(async (folder) => {
    for (const file of ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]) {
      writeFileSync(`${folder}/${file}`, readFileSync(`${FOLDER}/bert/${file}`));
    }
    const module = (type: string, idx: number) => ({
      idx,
      name: String(idx),
      path: "",
      type: `sentence_transformers.models.${type}`,
    });
    const write = (...types: string[]) =>
      writeFileSync(`${folder}/modules.json`, JSON.stringify(types.map(module)));
    write("Transformer", "Pooling", "Dense");
    await assert.rejects(
      () => loadEmbedder(folder, { backend: reference() }),
      /it has Transformer, Pooling, Dense/,
    );
    write("Transformer", "Pooling");
    writeFileSync(
      `${folder}/config.json`,
      JSON.stringify({
        ...JSON.parse(readFileSync(`${FOLDER}/bert/config.json`, "utf8")),
        pooling_mode: "weightedmean",
      }),
    );
    await assert.rejects(
      () => loadEmbedder(folder, { backend: reference() }),
      /expected one pooling .* but found weightedmean/,
    );
    writeFileSync(
      `${folder}/config.json`,
      JSON.stringify({
        ...JSON.parse(readFileSync(`${FOLDER}/bert/config.json`, "utf8")),
        ...{ pooling_mode: "mean", include_prompt: false },
      }),
    );
    writeFileSync(`${folder}/config_sentence_transformers.json`, '{"prompts": {"query": "query: "}}');
    await assert.rejects(
      () => loadEmbedder(folder, { backend: reference() }),
      /"include_prompt": false is not supported/,
    );
  }));

Deno.test("the largest state counts tokens alone", async () => {
  const bert = await load("bert");
  const vector = async (inputIds: number[][], attentionMask: number[][]) =>
    await read(embed(bert.model, { inputIds, attentionMask }, { pooling: "max", length: "free" }));
  const alone = await vector([[1, 4, 5, 2]], [[1, 1, 1, 1]]);
  assertClose((await vector([[1, 4, 5, 2, 0, 0]], [[1, 1, 1, 1, 0, 0]])).slice(0, 16), alone, 1e-5);
  tensor([0], { backend: bert.model.backend }).storage.free();
  bert.dispose();
});

/** Classification, tagging, scoring and answering by T5, from JSONL to scores. */
import assert from "node:assert/strict";
import {
  type Adapter,
  compose,
  dispose,
  fold,
  generate,
  generateIds,
  graft,
  key,
  mapTree,
  type Method,
  type Model,
  type ModelConfig,
  scope,
  type Synchronous,
} from "../../core/mod.ts";
import { adapt } from "../../core/combinators/compose.ts";
import { tokenizer } from "../../formats/tokenizer.ts";
import { fullFineTune, lora, modulesToSave } from "../../methods/mod.ts";
import { classNames, freshModel, headModules, type Task, taskConfig } from "../../models/mod.ts";
import { permutation } from "../../train/shuffle.ts";
import {
  adamw,
  heldOutLoss,
  type LabelledExample,
  labelledExampleOf,
  labelledKindOf,
  labelledRows,
  labelNames,
  pickRows,
  planMemory,
  predict,
  predictionScores,
  readLabelledExamples,
  renamedRecord,
  type Rows,
  seq2seqRows,
  startTraining,
  type TrainOptions,
} from "../../train/mod.ts";
import { add, shapesOnly } from "../../ops/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { withBackend } from "../support/backends.ts";
import { GOLDEN } from "../support/golden.ts";

const json = (name: string) => JSON.parse(Deno.readTextFileSync(`${GOLDEN}tokenizer_goldens/${name}.json`));
const thousand = JSON.parse(Deno.readTextFileSync(`${GOLDEN}tokenizer_thousand.json`));
const codec = tokenizer(json("bert_uncased"));
const pad = codec.pad!;

const BERT: ModelConfig = {
  model_type: "bert",
  vocab_size: codec.vocabSize,
  hidden_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 24,
  max_position_embeddings: 40,
  pad_token_id: pad,
};

const OPTIONS: TrainOptions = {
  learningRate: 0.01,
  batching: { kind: "buckets", batchSize: 8 },
  epochs: 8,
  clip: 1,
  seed: 2,
  pad,
};

/** Trains and gives the adapter, whose parameters the caller disposes. */
async function trained(model: Model, method: Method, rows: Rows, options = OPTIONS): Promise<Adapter> {
  const start = adapt(model, method) as Adapter;
  const run = await startTraining(model, start, rows, options);
  while (await run.next() !== undefined);
  const { slots: _, params } = run.snapshot();
  const adapter = { ...start, params: copied(params) };
  run.dispose();
  dispose(start.params);
  return adapter;
}

const copied = (params: Adapter["params"]): Adapter["params"] =>
  scope(() => mapTree(params, (t) => add(t, 0)) as Synchronous<Adapter["params"]>);

const WORDS = ["the", "dog", "fox", "model", "adapter", "text", "very", "it"];
const draw = (n: number, of: number): number => permutation(of, fold(key(9), n))[0]!;

/** Texts of drawn words with one of two words in them that decides. */
const sentences = (
  n: number,
  deciding: readonly string[],
): readonly { words: string[]; at: number; which: number }[] =>
  Array.from({ length: n }, (_, i) => {
    const words = Array.from({ length: 3 + draw(i, 4) }, (_, j) =>
      WORDS[draw(1000 + 10 * i + j, WORDS.length)]!);
    const [at, which] = [draw(5000 + i, words.length), i % deciding.length];
    words[at] = deciding[which]!;
    return { words, at, which };
  });

Deno.test("a classifier learns from text and label with LoRA and its head, and its scores say so", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const examples: readonly LabelledExample[] = sentences(48, ["good", "bad"]).map((
        { words, which },
        i,
      ) => ({
        kind: "class",
        text: words.join(" "),
        ...i % 3 === 0 && { pair: "or else" },
        label: ["yes", "no"][which]!,
      }));
      const names = labelNames(examples);
      assert.deepEqual(names, ["no", "yes"]);
      const model = freshModel(taskConfig(BERT, { kind: "classify", names }), {
        backend,
        key: 1,
        deviation: 0.2,
      });
      assert.deepEqual(classNames(model), names);
      const rows = labelledRows(examples, codec, { maxLength: 20, names });
      const [train, held] = [pickRows(rows, range(0, 40)), pickRows(rows, range(40, 48))];
      const method = compose({
        lora: lora({ rank: 4, targets: "all-linear" }),
        head: modulesToSave({ modules: headModules(model) }),
      });
      const scores = async (m: Model) =>
        predictionScores("class", await predict(m, held, { batchSize: 3, pad }), names.length);
      const before = await heldOutLoss(model, held, { batchSize: 3, pad });
      const adapter = await trained(model, method as Method, train);
      const after = await heldOutLoss(graft(model, adapter), held, { batchSize: 3, pad });
      assert.equal(after.tokens, 8);
      assert.ok(after.loss < 0.3 * before.loss, `${before.loss} to ${after.loss}`);
      assert.deepEqual(await scores(graft(model, adapter)), { accuracy: 1, f1: 1, matthews: 1 });
      dispose(adapter.params);
      model.dispose();
    })));

Deno.test("a tagger and a scorer learn", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const drawn = sentences(40, ["fox", "dog"]);
      const tags: readonly LabelledExample[] = drawn.map(({ words }) => ({
        kind: "tags",
        words,
        tags: words.map((word) => ["fox", "dog"].includes(word) ? "animal" : "O"),
      }));
      const scored: readonly LabelledExample[] = drawn.map(({ words, which }) => ({
        kind: "score",
        text: words.join(" "),
        score: which === 0 ? -1 : 1 + words.length / 10,
      }));
      const tasks: readonly (readonly [Task, readonly LabelledExample[], "token" | "scores"])[] = [
        [{ kind: "tag", names: labelNames(tags) }, tags, "token"],
        [{ kind: "score" }, scored, "scores"],
      ];
      for (const [task, examples, kind] of tasks) {
        const model = freshModel(taskConfig(BERT, task), { backend, key: 1, deviation: 0.2 });
        const rows = labelledRows(examples, codec, { maxLength: 20, names: classNames(model) });
        const adapter = await trained(model, fullFineTune(), rows, { ...OPTIONS, epochs: 10 });
        const predictions = await predict(graft(model, adapter), rows, { batchSize: 7, pad });
        const scores = predictionScores(kind, predictions, 2);
        for (const [name, value] of Object.entries(scores)) {
          assert.ok(value > (name === "spearman" ? 0.8 : 0.9), `${name} ${value}`);
        }
        if (kind === "token") {
          predictions.forEach((p, i) => assert.equal(p.found.length, drawn[i]!.words.length));
        }
        dispose(adapter.params);
        model.dispose();
      }
    })));

Deno.test("T5 learns to answer, and generates what it learned", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const t5 = tokenizer(json("t5"));
      const config: ModelConfig = {
        model_type: "t5",
        vocab_size: t5.vocabSize,
        d_model: 16,
        d_kv: 8,
        d_ff: 24,
        num_layers: 1,
        num_heads: 2,
        eos_token_id: t5.eos,
      };
      const examples = sentences(24, ["fox", "dog"]).map(({ words, which }) => ({
        prompt: words.join(" "),
        answer: ["model", "text it"][which]!,
      }));
      const rows = seq2seqRows(examples, t5, { maxLength: 30, maxAnswerLength: 12 });
      assert.throws(() => seq2seqRows(examples, t5, { maxLength: 30, maxAnswerLength: 2 }), /1 to 2/);
      const model = freshModel(config, { backend, key: 1, deviation: 0.3, tokenizer: t5 });
      const adapter = await trained(model, fullFineTune(), rows, { ...OPTIONS, pad: t5.pad!, epochs: 40 });
      const tuned = graft(model, adapter);
      const prompts = [0, 1].map((n) => rows.tokens(n).inputIds);
      const ids = await generateIds(tuned, prompts, { maxNewTokens: 12 });
      assert.deepEqual(ids, examples.slice(0, 2).map(({ answer }) => t5.encode(answer)));
      const streamed: string[] = [];
      const text = await generate(tuned, examples[1]!.prompt, {
        maxNewTokens: 12,
        onToken: (token) => streamed.push(token.text),
      });
      assert.equal(text, examples[1]!.answer);
      assert.equal(streamed.join(""), text);
      dispose(adapter.params);
      model.dispose();
    })));

Deno.test("planMemory() knows the labels of classifiers, taggers and T5", () =>
  assertNoLeak(async () => {
    const configs: readonly ModelConfig[] = [
      taskConfig(BERT, { kind: "classify", names: ["a", "b"] }),
      taskConfig(BERT, { kind: "flag", names: ["a", "b", "c"] }),
      taskConfig(BERT, { kind: "tag", names: ["a", "b"] }),
      { model_type: "t5", vocab_size: 40, d_model: 8, d_kv: 4, d_ff: 12, num_layers: 1, num_heads: 2 },
    ];
    for (const config of configs) {
      const model = freshModel(config, { backend: shapesOnly(), key: 0 });
      const adapter = adapt(model, lora({ rank: 2 })) as Adapter;
      const sizes = { lengths: [9, 12, 7], targets: [1, 3, 2] };
      const plan = await planMemory(model, adapter, sizes, {
        ...OPTIONS,
        optimizer: adamw(),
        state: "resident",
      });
      assert.ok(plan.activations > 0 && plan.total > plan.weights, JSON.stringify(plan));
      dispose(adapter.params);
      model.dispose();
    }
  }));

Deno.test("labelledRows() tags the first token of each word, as transformers aligns them", () => {
  for (const name of ["bert_uncased", "roberta", "t5"]) {
    const made = tokenizer(json(name));
    for (const [words, ids, wordIds] of thousand[name].words) {
      const tags = words.map((_: string, i: number) => String(i));
      const rows = labelledRows([{ kind: "tags", words, tags }], made, { maxLength: 9, names: tags });
      const { inputIds, labels } = rows.tokens(0);
      assert.deepEqual(inputIds, ids, `${name}: ${words}`);
      const expected = wordIds.map((w: number | null, i: number) =>
        w === null || w === wordIds[i - 1] ? -100 : w
      );
      assert.deepEqual(labels, expected, `${name}: ${words}`);
      assert.equal(rows.targets[0], expected.filter((id: number) => id !== -100).length);
    }
  }
});

Deno.test("labelledRows() pads batches, and names what it cannot use", () => {
  const at = { file: "x.jsonl", line: 3 };
  const examples: readonly LabelledExample[] = [
    { kind: "class", text: "dog", pair: "fox", label: "1", at },
    { kind: "class", text: "dog", label: "0", at },
  ];
  const batch = labelledRows(examples, codec, { maxLength: 9, names: ["0", "1"] }).batch!([0, 1], pad);
  const [dog, fox, cls, sep] = ["dog", "fox", "[CLS]", "[SEP]"].map((token) =>
    codec.encode(token, { addSpecialTokens: false })
  );
  const first = [...cls!, ...dog!, ...sep!, ...fox!, ...sep!];
  const second = [...cls!, ...dog!, ...sep!];
  const rest = new Array<number>(first.length - second.length);
  assert.deepEqual(batch.inputIds, [first, [...second, ...rest.fill(pad)]]);
  assert.deepEqual(batch.attentionMask, [first.map(() => 1), [...second.map(() => 1), ...rest.fill(0)]]);
  const ones = fox!.length + 1;
  assert.deepEqual(batch.tokenTypeIds![0], first.map((_, i) => i >= first.length - ones ? 1 : 0));
  assert.deepEqual(batch.labels, [1, 0]);
  assert.throws(
    () => labelledRows(examples, codec, { maxLength: 9, names: ["0"] }),
    /x\.jsonl line 3: "1" is none/,
  );
  assert.throws(
    () => labelledRows(examples, codec, { maxLength: 3, names: ["0", "1"] }),
    /3 special tokens fill/,
  );
});

Deno.test("readLabelledExamples() reads each kind, and says what is wrong and where", async () => {
  const file = await Deno.makeTempFile({ suffix: ".jsonl" });
  const read = async (...records: readonly unknown[]): Promise<readonly LabelledExample[]> => {
    await Deno.writeTextFile(file, records.map((r) => JSON.stringify(r)).join("\n"));
    return await Array.fromAsync(readLabelledExamples(file));
  };
  try {
    const [one] = await read({ text: "a", pair: "b", label: "x", more: 1 });
    assert.deepEqual(one, { kind: "class", text: "a", pair: "b", label: "x", at: { file, line: 1 } });
    assert.deepEqual(labelNames(await read({ text: "a", label: 10 }, { text: "a", label: 2 })).length, 11);
    assert.deepEqual(labelNames(await read({ text: "a", label: "b" }, { text: "a", label: "a" })), [
      "a",
      "b",
    ]);
    assert.deepEqual((await read({ text: "a", score: -0.5 }))[0]!.kind, "score");
    const [tags] = await read({ tokens: ["a", ""], tags: ["X", 0] });
    assert.deepEqual(tags?.kind === "tags" && tags.tags, ["X", "0"]);
    await assert.rejects(read({ text: "a" }), /line 1: expected "text" and "label".*found "text"/);
    await assert.rejects(read({ text: "a", label: "x" }, { text: "b" }), /line 2: field "label" is missing/);
    await assert.rejects(
      read({ text: "a", label: 1.5 }),
      /name of a class or its number from 0 but found 1\.5/,
    );
    await assert.rejects(read({ text: "", label: 1 }), /line 1: field "text" is empty/);
    await assert.rejects(read({ text: "a", label: "" }), /found ""/);
    await assert.rejects(read({ text: "a", score: "1" }), /a number but found/);
    await Deno.writeTextFile(file, '{"text": "a", "score": 1}\n{"text": "a", "score": 1e999}\n');
    await assert.rejects(
      Array.fromAsync(readLabelledExamples(file)),
      /^RangeError: .*line 2: field "score" is no finite number$/,
    );
    await assert.rejects(read({ tokens: ["a"], tags: [] }), /as many tags as tokens but found 0 and 1/);
    await assert.rejects(read({ tokens: [], tags: [] }), /"tokens" is empty/);
    await assert.rejects(read({ tokens: ["a", 1], tags: ["X", "X"] }), /tokens, 1.*a string but found 1/);
    await assert.rejects(read({ text: "a", label: 1 }, { text: "a", score: 1 }), /use one kind a file/);
  } finally {
    await Deno.remove(file);
  }
  assert.equal(labelledKindOf({ file: "", line: 1, value: { prompt: "a", completion: "b" } }), undefined);
  assert.equal(
    labelledExampleOf({ file: "", line: 1, value: { text: "a", label: 0, score: 2 } }, "score").kind,
    "score",
  );
});

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

Deno.test("several classes come as a list, as columns, as a table's cells, and a column may have classes of its own", () => {
  const at = { file: "a.csv", line: 3, unit: "row" } as const;
  const columns = (labels: unknown) => {
    const example = labelledExampleOf({ ...at, value: { text: "t", labels } }, "flags");
    return example.kind === "flags" ? example.columns : undefined;
  };
  assert.deepEqual(columns(["rude", 3]), { rude: "1", 3: "1" });
  assert.deepEqual(columns([]), {});
  assert.deepEqual(columns('["rude"]'), { rude: "1" });
  assert.deepEqual(columns({ rude: true, late: "0.0", tone: "kind", stars: 4 }), {
    rude: "1",
    late: "0",
    tone: "kind",
    stars: "4",
  });
  for (const wrong of ["rude", 3, {}, null]) {
    assert.throws(
      () => columns(wrong),
      /^TypeError: a\.csv row 3: field "labels": expected a list of classes, or columns/,
    );
  }
  assert.throws(
    () => columns({ rude: null }),
    /row 3: field "labels, rude": expected the name of a class .* but found null/,
  );
  assert.deepEqual(
    renamedRecord({ ...at, value: { words: "t", rude: 1, late: 0 } }, { text: "words", labels: "rude+late" })
      .value,
    { text: "t", labels: { rude: 1, late: 0 } },
  );
  assert.throws(
    () => renamedRecord({ ...at, value: { text: "t", rude: 1 } }, { labels: "rude+late" }),
    /row 3: field "late", which is to be "labels", is missing/,
  );
});

Deno.test("rows of several classes have 1 for each that is named, and names tell flags from classes of a column", () => {
  const examples: readonly LabelledExample[] = [
    { kind: "flags", text: "the dog", columns: { rude: "1", tone: "kind", stars: "1" } },
    { kind: "flags", text: "the fox and the dog", columns: { rude: "0", tone: "cold", stars: "3" } },
    { kind: "flags", text: "it", columns: {} },
  ];
  const names = labelNames(examples);
  assert.deepEqual(names, ["rude", "stars: 1", "stars: 3", "tone: cold", "tone: kind"]);
  const rows = labelledRows(examples, codec, { maxLength: 20, names });
  assert.deepEqual(rows.batch!([0, 1, 2], pad).labels, [[1, 1, 0, 0, 1], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]]);
  assert.deepEqual([...rows.targets as Uint32Array], [1, 1, 1]);
  assert.throws(
    () =>
      labelledRows([{ kind: "flags", text: "it", columns: { tone: "warm" } }], codec, {
        maxLength: 20,
        names,
      }),
    /"tone: warm" is none of the classes rude, stars: 1/,
  );
});

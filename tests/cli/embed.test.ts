/** `graft embed`, and training vectors by `graft finetune`. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { assertClose } from "../support/assert.ts";
import { GOLDEN } from "../support/golden.ts";
import { finetuned } from "./in_process.ts";
import { graft, temporaryFolder } from "./tiny.ts";

const BERT = `${GOLDEN}sentence_transformers_folders/bert`;
const cases = JSON.parse(readFileSync(`${GOLDEN}sentence_transformers_folders/cases.json`, "utf8"));
const vectorsIn = (text: string): number[][] =>
  text.trim().split("\n").map((line) => JSON.parse(line).embedding);

Deno.test("graft embed writes sentence-transformers' vectors, of texts and of a field of a file", async () => {
  using folder = temporaryFolder();
  const { code, out, err } = await graft([
    "embed",
    "-m",
    BERT,
    "--text",
    cases.texts[0],
    "--text",
    cases.texts[1],
    "--prompt",
    "query",
  ]);
  assert.equal(code, 0, err);
  vectorsIn(out).forEach((vector, i) => assertClose(vector, cases.vectors.bert_query[i], 1e-5));
  const [data, output] = [`${folder.path}/a.jsonl`, `${folder.path}/v.jsonl`];
  writeFileSync(data, cases.texts.map((body: string) => JSON.stringify({ body })).join("\n"));
  assert.equal((await graft(["embed", "-m", BERT, "--data", data, "--field", "body", "-o", output])).code, 0);
  vectorsIn(readFileSync(output, "utf8")).forEach((vector, i) =>
    assertClose(vector, cases.vectors.bert[i], 1e-5)
  );
  assert.match((await graft(["embed", "-m", BERT])).err, /Expected --text or --data/);
  assert.match(
    (await graft(["embed", "-m", BERT, "--text", "a", "--prompt", "x"])).err,
    /Cannot use the prompt "x"/,
  );
});

for (const model of ["bert", "llama"] as const) {
  for (const objective of ["ranking", "triplet", "cosent"] as const) {
    Deno.test(`--objective ${objective} trains the vectors of a ${model}`, async () => {
      using folder = temporaryFolder();
      const rows: Readonly<Record<string, unknown[]>> = {
        ranking: cases.pairs.map(([anchor, positive]: string[]) => ({ anchor, positive })),
        triplet: cases.pairs.map(([anchor, positive]: string[], i: number) => ({
          anchor,
          positive,
          negative: cases.negatives[i],
        })),
        cosent: cases.pairs.map(([sentence1, sentence2]: string[], i: number) => ({
          sentence1,
          sentence2,
          score: cases.scores[i],
        })),
      };
      const [data, output] = [`${folder.path}/a.jsonl`, `${folder.path}/out`];
      writeFileSync(data, rows[objective]!.map((row) => JSON.stringify(row)).join("\n"));
      const path = `${GOLDEN}sentence_transformers_folders/${model}`;
      const result = await finetuned({
        ...{ model: path, data, output, method: "lora", objective, learningRate: 0.02 },
        ...{ batchSize: 3, maxSteps: 20, epochs: 20, heldOut: 0, evalData: data, evalEvery: 20 },
      });
      assert.ok(result.evaluations.at(-1)!.loss < result.evaluations[0]!.loss);
      const { code, out, err } = await graft(["embed", "-m", path, "--adapter", output, "--text", "tea"]);
      assert.equal(code, 0, err);
      assert.equal(vectorsIn(out)[0]!.length, 16);
    });
  }
}

Deno.test("objectives of vectors refuse other data", async () => {
  using folder = temporaryFolder();
  const data = `${folder.path}/a.jsonl`;
  writeFileSync(data, JSON.stringify({ anchor: "tea", positive: "red tea" }));
  await assert.rejects(
    () =>
      finetuned({
        model: BERT,
        data,
        output: `${folder.path}/out`,
        method: "lora",
        objective: "triplet",
        heldOut: 0,
      }),
    /line 1: expected the fields anchor, positive, negative but found pair/,
  );
});

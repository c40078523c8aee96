/** `graft evaluate`: baselines and few-shot prompts, with numbers that can be told by hand. */
import assert from "node:assert/strict";
import { graft, temporaryFolder, tinyModel } from "./tiny.ts";

Deno.test("graft evaluate scores the first utterances, and a prompt with solved examples", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const data = `${folder.path}/dialogues.jsonl`;
  const record = (dialogue: string, summary: string): string => JSON.stringify({ dialogue, summary });
  Deno.writeTextFileSync(
    data,
    [record("tea?\nno\nsea!", "tea sea"), record("map\n\nsun\ncat", "sun")].join("\n"),
  );
  const args = ["evaluate", "-m", model, "-d", data, "--instruction", "", "--backend", "reference", "--json"];
  const all = await graft([...args, "--max-new-tokens", "3", "--samples", "2"]);
  assert.equal(all.code, 0, all.err);
  const { baselines, examples, tokens, loss, perplexity, samples } = JSON.parse(all.out);
  // "tea" of "tea sea": p 1, r 1/2; "map" of "sun": 0. Two lines: p 1/2, r 1/2 and p 1/2, r 1. Three: p 2/3, r 1 and p 1/3, r 1.
  const f1 = (p: number, r: number): number => p + r === 0 ? 0 : 2 * p * r / (p + r);
  const expected = [
    f1(1, 1 / 2) / 2,
    (f1(1 / 2, 1 / 2) + f1(1 / 2, 1)) / 2,
    (f1(2 / 3, 1) + f1(1 / 3, 1)) / 2,
  ];
  for (const [i, name] of ["first utterance", "first 2 utterances", "first 3 utterances"].entries()) {
    assert.ok(Math.abs(baselines[name].rouge1 - expected[i]!) < 1e-9, name);
    assert.ok(Math.abs(baselines[name].rougeL - expected[i]!) < 1e-9, name);
  }
  assert.equal(examples, 2);
  assert.equal(tokens, "tea sea".length + "sun".length + 2); // one token per letter, and the end token
  assert.ok(Math.abs(perplexity - Math.exp(loss)) < 1e-9 * perplexity);
  assert.deepEqual(samples.map(({ reference }: { readonly reference: string }) => reference), [
    "tea sea",
    "sun",
  ]);

  const few = await graft([...args, "--rouge", "0", "--held-out", "1", "--few-shot", "1"]);
  assert.equal(few.code, 0, few.err);
  const none = await graft([...args, "--rouge", "0", "--held-out", "1"]);
  assert.equal(JSON.parse(few.out).tokens, JSON.parse(none.out).tokens);
  assert.notEqual(JSON.parse(few.out).loss, JSON.parse(none.out).loss);
  const refused = await graft([...args, "--few-shot", "1"]);
  assert.equal(refused.code, 2);
  assert.match(refused.err, /Expected --held-out with --few-shot/);
});

Deno.test("graft evaluate --faithful counts the facts of the answers", async () => {
  using folder = temporaryFolder();
  const model = tinyModel(folder.path);
  const data = `${folder.path}/dialogues.jsonl`;
  // Of "sun 7" one fact is wanted, which a model of letters does not write.
  Deno.writeTextFileSync(data, JSON.stringify({ dialogue: "tea?\n7", summary: "sun 7" }));
  const args = ["evaluate", "-m", model, "-d", data, "--instruction", "", "--backend", "reference"];
  const some = [...args, "--max-new-tokens", "3", "--faithful"];
  const json = await graft([...some, "--json"]);
  assert.equal(json.code, 0, json.err);
  assert.equal(JSON.parse(json.out).faithful.recall, 0);
  const told = await graft(some);
  assert.match(
    told.out,
    /\nNames, numbers and dates: .* of those written are true, 0\.0000 of those wanted were/,
  );
  const without = await graft([...args, "--max-new-tokens", "3", "--json"]);
  assert.equal(JSON.parse(without.out).faithful, undefined);
});

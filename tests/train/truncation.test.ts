import assert from "node:assert/strict";
import fc from "fast-check";
import { joinTokens, targetCount } from "../../train/truncation.ts";

const at = { file: "f.jsonl", line: 5 };
const EOS = 0;
const head = { longPrompt: { keep: "head" }, eos: EOS, at } as const;
const tail = { longPrompt: { keep: "tail" }, eos: EOS, at } as const;
const refuse = { longPrompt: "refuse", eos: EOS, at } as const;

Deno.test("joinTokens() masks the prompt and closes the answer", () => {
  const row = joinTokens({ before: [1], body: [2, 3], after: [4] }, [5, 6], { ...refuse, maxLength: 7 });
  assert.deepEqual(row, { inputIds: [1, 2, 3, 4, 5, 6, EOS], labels: [-100, -100, -100, -100, 5, 6, EOS] });
});

Deno.test("joinTokens() keeps the head or the tail of the body and everything else", () => {
  const prompt = { before: [1], body: [2, 3, 4, 5], after: [6] };
  assert.deepEqual(joinTokens(prompt, [7], { ...head, maxLength: 6 }).inputIds, [1, 2, 3, 6, 7, EOS]);
  assert.deepEqual(joinTokens(prompt, [7], { ...tail, maxLength: 6 }).inputIds, [1, 4, 5, 6, 7, EOS]);
  assert.throws(
    () => joinTokens(prompt, [7], { ...refuse, maxLength: 6 }),
    /^RangeError: f\.jsonl line 5: prompt and answer have 8 tokens, more than the 6 that a row may have/,
  );
});

Deno.test("joinTokens() refuses an answer that does not fit, by its line", () => {
  for (const policy of [head, tail, refuse]) {
    const join = (prompt: number, answer: number, maxLength: number) =>
      joinTokens({ body: Array(prompt).fill(1) }, Array(answer).fill(2), { ...policy, maxLength });
    assert.throws(
      () => join(3, 4, 4),
      /^RangeError: f\.jsonl line 5: the answer has 5 tokens with its end token, more than the 4/,
    );
    assert.throws(() => join(3, 4, 5), /line 5: .*no room for the rest of the prompt in 5 tokens/);
    assert.throws(() => join(3, 0, 5), /line 5: the answer has no tokens/);
    assert.throws(() => join(3, 1, 0), /Expected maxLength to be an integer greater than 0 but found 0/);
    assert.equal(join(0, 4, 5).inputIds.length, 5);
  }
});

Deno.test("joinTokens() never cuts the answer and never exceeds maxLength", () => {
  const ids = (min: number, max: number, minLength = 0) =>
    fc.array(fc.integer({ min, max }), { minLength, maxLength: 12 });
  fc.assert(fc.property(
    ids(100, 199),
    ids(200, 299),
    ids(300, 399),
    ids(400, 499, 1),
    fc.integer({ min: 1, max: 40 }),
    fc.constantFrom("head" as const, "tail" as const),
    (before, body, after, answer, maxLength, keep) => {
      const fixed = before.length + after.length + answer.length + 1;
      fc.pre(fixed + Math.min(1, body.length) <= maxLength);
      const options = { maxLength, longPrompt: { keep }, eos: EOS };
      const { inputIds, labels } = joinTokens({ before, body, after }, answer, options);
      assert.equal(inputIds.length, Math.min(maxLength, fixed + body.length));
      assert.deepEqual(labels.filter((label) => label !== -100), [...answer, EOS]);
      assert.deepEqual(inputIds.slice(-answer.length - 1), [...answer, EOS]);
      assert.equal(labels.length, inputIds.length);
      assert.deepEqual(inputIds.filter((id) => id >= 100 && id < 200), before);
      assert.deepEqual(inputIds.filter((id) => id >= 300 && id < 400), after);
      const room = maxLength - fixed;
      const expected = body.length <= room ? body : keep === "head" ? body.slice(0, room) : body.slice(-room);
      assert.deepEqual(inputIds.filter((id) => id >= 200 && id < 300), expected);
    },
  ));
});

Deno.test("targetCount() counts labels that the shifted loss sees", () => {
  assert.equal(targetCount([-100, 5, -100, 6]), 2);
  assert.equal(targetCount([5, 6]), 1);
  assert.equal(targetCount([]), 0);
});

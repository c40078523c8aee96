/** Groups of messages: repeatable, balanced, of one desk, and of the reasons that were asked for. */
import assert from "node:assert/strict";
import { fold, key } from "../../core/tensor/key.ts";
import { DESKS } from "../../embedded/conversations/desks/mod.ts";
import { messageGroup } from "../../embedded/paraphrases.ts";

/** Words that only openings of one reason have, for two reasons of the bank. */
const isLost = (message: string): boolean => /lost|disappeared|gone|find my card/.test(message);

Deno.test("messageGroup() is a function of key and index", () => {
  const groups = [0, 1].map((i) => messageGroup(key(1), i, 4));
  assert.deepEqual(messageGroup(key(1), 1, 4), groups[1]);
  assert.notDeepEqual(groups[0], groups[1]);
  assert.notDeepEqual(messageGroup(fold(key(1), "other"), 0, 4), groups[0]);
  assert.equal(groups[0]!.others.length, 4);
});

Deno.test("messageGroup() draws half of the answers, each by itself", () => {
  const answers = Array.from({ length: 400 }, (_, i) => messageGroup(key(2), i, 5).others.map((o) => o.same));
  const part = answers.flat().filter((same) => same).length / 2000;
  assert.ok(Math.abs(part - 0.5) < 0.045, `${part} is half, within four standard errors`);
  assert.ok(answers.some((row) => row.every((same) => same)) && answers.some((row) => !row.includes(true)));
});

Deno.test("messageGroup() says the same exactly where the reason is the same", () => {
  for (let i = 0; i < 100; i++) {
    const { first, others } = messageGroup(key(3), i, 3, ["card-lost", "unknown-charge"]);
    for (const { says, same } of others) {
      assert.equal(isLost(says) === isLost(first), same, `${first} | ${says}`);
    }
  }
});

Deno.test("messageGroup() leaves no slot or choice unexpanded in any desk", () => {
  for (const desk of DESKS) {
    const reasons = desk.intents.map(({ id }) => id);
    for (let i = 0; i < 40; i++) {
      const { first, others } = messageGroup(key(4), i, 3, reasons);
      for (const text of [first, ...others.map((o) => o.says)]) assert.doesNotMatch(text, /[{}[\]|]/);
    }
  }
});

Deno.test("messageGroup() wants two reasons of one desk", () => {
  assert.throws(() => messageGroup(key(1), 0, 1, ["card-lost", "roaming"]), {
    name: "RangeError",
    message: "Expected at least two reasons of one desk but found card-lost, roaming",
  });
});

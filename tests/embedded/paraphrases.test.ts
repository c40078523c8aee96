/** Pairs of messages: repeatable, balanced, and same exactly where they say so. */
import assert from "node:assert/strict";
import { fold, key } from "../../core/tensor/key.ts";
import { companyPair, requestPair } from "../../embedded/paraphrases.ts";

/** Words that only openings of the lost card have among the two requests below. */
const isLost = (message: string): boolean => /lost|disappeared|gone|find my card/.test(message);

for (const [name, pair] of Object.entries({ requestPair, companyPair })) {
  Deno.test(`${name}() is a function of key and index, of which every second pair is the same`, () => {
    assert.deepEqual(pair(key(1), 7), pair(key(1), 7));
    assert.notDeepEqual(pair(key(1), 7), pair(key(1), 9));
    assert.notDeepEqual(pair(key(1), 7), pair(fold(key(1), "other"), 7));
    const answers = Array.from({ length: 50 }, (_, i) => pair(key(1), i).same);
    assert.equal(answers.filter((same) => same).length, 25);
  });

  Deno.test(`${name}() expands every slot and choice`, () => {
    for (let i = 0; i < 600; i++) {
      const { first, second } = pair(key(4), i);
      for (const text of [first, second]) assert.doesNotMatch(text, /[{}[\]|]/);
    }
  });
}

Deno.test("requestPair() says the same exactly where the request is the same", () => {
  for (let i = 0; i < 100; i++) {
    const { first, second, same } = requestPair(key(3), i, ["card-lost", "unknown-charge"]);
    assert.equal(isLost(first) === isLost(second), same, `${first} | ${second}`);
  }
});

Deno.test("requestPair() wants two requests of one desk", () => {
  assert.throws(() => requestPair(key(1), 0, ["card-lost", "roaming"]), {
    name: "RangeError",
    message: "Expected at least two requests of one desk but found card-lost, roaming",
  });
});

/** Pairs of messages: repeatable, balanced, and same exactly where they say so. */
import assert from "node:assert/strict";
import { fold, key } from "../../tensor/key.ts";
import { requestPair } from "../../embedded/paraphrases.ts";

/** Words that only openings of the lost card have among the two requests below. */
const isLost = (message: string): boolean => /lost|disappeared|gone|find my card/.test(message);

Deno.test("requestPair() is a function of key and index, of which every second pair is the same", () => {
  assert.deepEqual(requestPair(key(1), 7), requestPair(key(1), 7));
  assert.notDeepEqual(requestPair(key(1), 7), requestPair(key(1), 9));
  assert.notDeepEqual(requestPair(key(1), 7), requestPair(fold(key(1), "other"), 7));
  const answers = Array.from({ length: 50 }, (_, i) => requestPair(key(1), i).same);
  assert.equal(answers.filter((same) => same).length, 25);
});

Deno.test("requestPair() expands every slot and choice", () => {
  for (let i = 0; i < 600; i++) {
    const { first, second } = requestPair(key(4), i);
    for (const text of [first, second]) assert.doesNotMatch(text, /[{}[\]|]/);
  }
});

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

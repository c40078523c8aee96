import assert from "node:assert/strict";
import fc from "fast-check";
import { key } from "../../tensor/key.ts";
import { grams, masked, measure, nearDuplicates } from "../../embedded/duplicates.ts";

Deno.test("masked() hides names, numbers, dates and codes, and nothing else", () => {
  assert.deepEqual(
    masked("Agent: Anna Weber, order AB-1234 of $48.50 comes on March 3 to 12 Mill Road, Oslo at 9:15!"),
    "agent <name> <name> order <number> of <number> comes on <date> <number> to <number> <name> <name> at <number>"
      .split(" "),
  );
  assert.deepEqual(masked("anna.weber@inbox.org, 48 euros"), ["<name>", "<number>", "euros"]);
});

Deno.test("grams() are the runs of n words", () => {
  assert.deepEqual([...grams(["a", "b", "c", "a", "b"], 2)], ["a b", "b c", "c a"]);
  assert.equal(grams(["a"], 2).size, 0);
});

Deno.test("nearDuplicates() counts what comparing all pairs counts", () => {
  const set = fc.uniqueArray(fc.constantFrom(..."abcdefgh"), { minLength: 1 }).map((list) => new Set(list));
  const jaccard = (a: ReadonlySet<string>, b: ReadonlySet<string>) =>
    a.intersection(b).size / a.union(b).size;
  fc.assert(
    fc.property(fc.array(set), fc.array(set), fc.constantFrom(0.3, 0.5, 0.8), (train, test, threshold) => {
      const expected = test.filter((a) => train.some((b) => jaccard(a, b) > threshold)).length;
      assert.equal(nearDuplicates(train, test, threshold), expected);
    }),
  );
});

// The command draws 25,000; the law of the smaller draw is the same: 4 of 5 distinct, under 1 % near-duplicates.
Deno.test("measure() finds the conversations varied", () => {
  const variety = measure(key(0), 5000, 1000);
  assert.ok(variety.distinct >= 4000, `${variety.distinct} distinct of 5000`);
  assert.ok(variety.nearDuplicates < 10, `${variety.nearDuplicates} near-duplicates of 1000`);
  assert.ok(variety.intents >= 40);
  assert.equal([...variety.turns.values()].reduce((a, b) => a + b), 5000);
});

/** The facts of summaries, by hand, and laws of the counts. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { conversation } from "../../embedded/conversations/mod.ts";
import { key } from "../../tensor/key.ts";
import { countFacts, factsIn, faithfulness, inventedFacts } from "../../train/faithfulness.ts";

const facts = (
  text: string,
  terms: readonly string[] = [],
): readonly string[] => [...factsIn(text, { terms })];

Deno.test("factsIn() finds dates in either order as one fact", () => {
  for (const date of ["3 May", "3rd May", "3rd of May", "May 3", "May 3rd", "03 May"]) {
    assert.deepEqual(facts(`It comes on ${date}.`), ["3 may"], date);
  }
  // Neither 13.5 nor 4821 is the day of a month, and Mayer is none.
  assert.deepEqual(facts("At 13.5 March lost, 4821 April, on May 482, 3 Mayer."), [
    "13.5",
    "march",
    "4821",
    "april",
    "may",
    "482",
    "3",
    "mayer",
  ]);
});

Deno.test("factsIn() finds numbers without currency, unit or ordinal, and codes as a whole", () => {
  assert.deepEqual(facts("costs £22.75, $1,200, 40 euros or 5%"), ["22.75", "1200", "40", "5"]);
  assert.deepEqual(facts("at 9:15, at 3pm, the 19th, 15-year-old, 5366-36"), [
    "9:15",
    "3",
    "19",
    "15",
    "5366-36",
  ]);
  assert.deepEqual(facts("with SAVE97 for LA-7353 to ann.lee@inbox.org."), [
    "save97",
    "la-7353",
    "ann.lee@inbox.org",
  ]);
});

Deno.test("factsIn() finds names, but not what only begins a sentence", () => {
  assert.deepEqual(facts("The agent calls Anna Weber. She is in Oslo! An SMS comes."), [
    "anna",
    "weber",
    "oslo",
    "sms",
  ]);
  assert.deepEqual(facts("Mrs Pemberton's cat, says “The Owl”"), ["mrs", "pemberton", "the", "owl"]);
  assert.deepEqual(facts("Zoe waits. Support calls\nCustomer is glad; It is. I am."), ["zoe"]);
  // In the middle of a sentence a capital is a name whatever the word.
  assert.deepEqual(facts("reads The Times"), ["the", "times"]);
});

Deno.test("factsIn() finds terms as words, each once, in one or many", () => {
  assert.deepEqual(facts("two Kettles and a rice cooker, a fan", ["kettle", "rice cooker", "rug", "an"]), [
    "kettle",
    "rice cooker",
    "kettles",
  ]);
  assert.deepEqual(facts("Ben and Ben, 5 and 5"), ["ben", "5"]);
});

Deno.test("countFacts() by hand", () => {
  const counts = countFacts({
    conversation: "Customer: hi, anna weber from oslo here. The kettle of 3 May costs 20 euros.",
    wanted: "Anna Weber asks about a kettle of May 3.", // anna, weber, 3 may, kettle
    // anna stands in small letters, 20 and kettle stand, 20 May does not though 20 and May do, fan does not.
    written: "Anna paid 20 euros for a kettle and a fan on 20 May.",
  }, { terms: ["kettle", "fan"] });
  assert.deepEqual(counts, { stated: 5, true: 3, wanted: 4, found: 2 });
});

Deno.test("faithfulness() weighs facts, not summaries, and has no share of nothing", () => {
  const texts = { conversation: "Ben has 3 dogs", wanted: "Ben", written: "Ben has 4 cats in Rome" };
  // ben of ben, 4, rome; then nothing stated of ben.
  assert.deepEqual(faithfulness([texts, { ...texts, written: "" }]), { precision: 1 / 3, recall: 1 / 2 });
  assert.deepEqual(faithfulness([]), { precision: undefined, recall: undefined });
  assert.deepEqual(faithfulness([{ ...texts, wanted: "nobody", written: "nobody" }]), {
    precision: undefined,
    recall: undefined,
  });
});

const word = fc.constantFrom(
  "Anna",
  "oslo",
  "May",
  "3",
  "12",
  "kettle",
  "The",
  "is",
  ".",
  "LA-7",
  "3 May",
  "£5",
);
const text = fc.array(word).map((words) => words.join(" "));

Deno.test("a text is faithful to itself, and to whatever holds it", () => {
  fc.assert(fc.property(text, text, text, (before, written, after) => {
    const same = countFacts({ conversation: written, wanted: written, written });
    assert.equal(same.true, same.stated);
    assert.equal(same.found, same.wanted);
    const held = countFacts({ conversation: `${before}\n${written}\n${after}`, wanted: "", written });
    assert.equal(held.true, held.stated);
  }));
});

Deno.test("counts stay within each other, and an invented fact costs precision only", () => {
  fc.assert(fc.property(text, text, text, (conversation, wanted, written) => {
    const counts = countFacts({ conversation, wanted, written });
    assert.ok(counts.true <= counts.stated && counts.found <= Math.min(counts.stated, counts.wanted));
    const more = countFacts({ conversation, wanted, written: `${written} … Zanzibar` });
    assert.deepEqual(more, { ...counts, stated: counts.stated + 1 });
  }));
});

Deno.test("nothing is found in a conversation without it", () => {
  fc.assert(fc.property(text, text, (wanted, written) => {
    assert.equal(countFacts({ conversation: "", wanted, written }).true, 0);
    assert.equal(faithfulness([{ conversation: "", wanted, written: "" }]).precision, undefined);
  }));
});

// Two words of their phrases are capitalized and not said: "SIM" where an eSIM is asked for, and "ID".
Deno.test("faithfulness() of the conversations' own summaries is nearly 1", () => {
  const summaries = Array.from({ length: 500 }, (_, i) => conversation(key(5), i))
    .map(({ dialogue, summary }) => ({ conversation: dialogue, wanted: summary, written: summary }));
  const { precision, recall } = faithfulness(summaries);
  assert.equal(recall, 1);
  assert.ok(precision! > 0.995 && precision! < 1, `${precision}`);
});

Deno.test("inventedFacts() finds the spans of what the conversation lacks, dates and terms whole", () => {
  const conversation = "Customer: hi, anna here. The kettle of 3 May costs 20 euros.";
  const written = "Anna paid £30 for kettles and two fans on 3rd of June in New-Oslo.";
  const spans = inventedFacts({ conversation, written }, { terms: ["kettle", "fan"] });
  assert.deepEqual(spans.map(([from, to]) => written.slice(from, to)), [
    "30",
    "fans",
    "3rd of June",
    "New-Oslo",
  ]);
});

Deno.test("inventedFacts() has a span where countFacts() counts a fact that is not true, and none elsewhere", () => {
  fc.assert(fc.property(fc.nat(300), fc.nat(300), (a, b) => {
    const [own, other] = [conversation(key(1), a), conversation(key(1), b)];
    const texts = { conversation: own.dialogue, wanted: own.summary, written: other.summary };
    const { stated, true: standing } = countFacts(texts);
    const spans = inventedFacts(texts);
    const facts = new Set(spans.flatMap(([from, to]) => [...factsIn(`so ${texts.written.slice(from, to)}`)]));
    assert.equal(facts.size, stated - standing);
  }));
});

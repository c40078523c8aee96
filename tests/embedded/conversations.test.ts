import assert from "node:assert/strict";
import fc from "fast-check";
import { key } from "../../tensor/key.ts";
import { conversation, intents, LIMITS } from "../../embedded/conversations/mod.ts";
import {
  CITIES,
  FIRST_NAMES,
  LAST_NAMES,
  MONTHS,
  STREETS,
  WEEKDAYS,
} from "../../embedded/conversations/lists.ts";
import { corpus, pretrainingText } from "../../embedded/corpus.ts";

const NAMES = [...FIRST_NAMES, ...LAST_NAMES, ...CITIES, ...STREETS, ...MONTHS, ...WEEKDAYS];
const MENTIONED = new RegExp(`\\b(?:${NAMES.join("|")})\\b`, "g");
const drawn = Array.from({ length: 3000 }, (_, i) => conversation(key(5), i));

/** A text without the mail addresses, in which a name is no mention. */
const plain = (text: string) => text.replace(/\S+@\S+/g, " ");

Deno.test("conversation() is a function of key and index", () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), (seed, index) => {
      assert.deepEqual(conversation(key(seed), index), conversation(key(seed), index));
      assert.notEqual(conversation(key(seed), index).dialogue, conversation(key(seed), index + 1).dialogue);
    }),
    { numRuns: 50 },
  );
});

Deno.test("conversation() keeps to its limits and to two speakers in turn", () => {
  for (const { id, dialogue } of drawn) {
    const lines = dialogue.split("\n");
    assert.ok(lines.length >= LIMITS.turns[0] && lines.length <= LIMITS.turns[1], id);
    const speakers = lines.map((line) => /^(Customer|Agent): \S/.exec(line)?.[1]);
    assert.ok(speakers.every((speaker, i) => speaker !== undefined && speaker !== speakers[i - 1]), dialogue);
    const words = dialogue.split(/\s+/).length - lines.length;
    assert.ok(words >= LIMITS.words[0] && words <= LIMITS.words[1], `${id} has ${words} words`);
  }
});

Deno.test("conversation() never tells a number in a summary that the dialogue does not tell", () => {
  for (const { id, dialogue, summary } of drawn) {
    const told = new Set(dialogue.match(/\d+/g));
    for (const number of summary.match(/\d+/g) ?? []) {
      assert.ok(told.has(number), `${id}: ${number}\n${summary}`);
    }
  }
});

Deno.test("conversation() never names a person, place or date in a summary that the dialogue does not name", () => {
  for (const { id, dialogue, summary } of drawn) {
    for (const name of plain(summary).match(MENTIONED) ?? []) {
      assert.ok(plain(dialogue).includes(name), `${id}: ${name}\n${dialogue}\n${summary}`);
    }
    for (const mail of summary.match(/\S+@\S+\w/g) ?? []) {
      assert.ok(dialogue.includes(mail), `${id}: ${mail}`);
    }
  }
});

Deno.test("conversation()'s summaries are one to three sentences in words of their own", () => {
  for (const { id, dialogue, summary } of drawn) {
    const sentences = summary.replace(/\bDr /g, "").split(/[.!?](?:\s|$)/).filter((s) => s.trim() !== "");
    assert.ok(sentences.length >= 1 && sentences.length <= 3, `${id}: ${summary}`);
    for (const sentence of sentences) {
      assert.ok(!dialogue.includes(sentence.trim()), `${id} copies: ${sentence}`);
    }
  }
});

Deno.test("conversation() leaves no template mark and no broken punctuation", () => {
  for (const { id, dialogue, summary } of drawn) {
    assert.doesNotMatch(dialogue + summary, /[[\]{}|]|undefined| {2}| [,.!?]|[!?]\.|,\.|: *$/m, id);
  }
});

Deno.test("intents() has at least 40 different ones, and all are drawn", () => {
  assert.ok(intents().length >= 40);
  assert.equal(new Set(intents()).size, intents().length);
  assert.deepEqual(new Set(drawn.map(({ intent }) => intent)), new Set(intents()));
});

Deno.test("corpus() is dialogues and paragraphs, and never a summary", () => {
  const texts = [...corpus(key(5), 0, 400)];
  assert.deepEqual(texts[7], pretrainingText(key(5), 7));
  const dialogues = texts.filter((text) => /^(Customer|Agent): /.test(text));
  assert.ok(dialogues.length > 250 && dialogues.length < 350, `${dialogues.length} dialogues`);
  for (const text of dialogues) {
    assert.ok(text.split("\n").every((line) => /^(Customer|Agent): /.test(line)), text);
  }
  const paragraphs = texts.filter((text) => !/^(Customer|Agent): /.test(text));
  assert.ok(paragraphs.every((text) => !text.includes("\n") && !/customer|agent/i.test(text)));
});

import assert from "node:assert/strict";
import fc from "fast-check";
import { key } from "../../../tensor/key.ts";
import { expand, type Facts, shuffle, tidy } from "../../../embedded/conversations/grammar.ts";
import { days } from "../../../embedded/conversations/sources.ts";

const facts: Facts = {
  item: { said: "espresso maker", summed: "machine" },
  hub: { said: "USB hub", summed: "hub" },
};

Deno.test("expand() fills slots, articles and summary forms, and says which slots it used", () => {
  const { text, slots } = expand("{a:item} and {a:hub}: {a:item.s}", facts, key(0));
  assert.equal(text, "an espresso maker and a USB hub: a machine");
  assert.deepEqual(slots, ["item", "hub", "item"]);
});

Deno.test("expand() draws every alternative, nested ones too, and only reports the slots it drew", () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 200; seed++) {
    const { text, slots } = expand("[a|b[1|2|]|{hub}]", facts, key(seed));
    seen.add(text);
    assert.deepEqual(slots, text === "USB hub" ? ["hub"] : []);
  }
  assert.deepEqual([...seen].sort(), ["USB hub", "a", "b", "b1", "b2"]);
});

Deno.test("expand() is a function of the key", () => {
  fc.assert(fc.property(fc.nat(), (seed) => {
    const template = "[a|b|c] [d|e|[f|g]] [h|]";
    assert.deepEqual(expand(template, facts, key(seed)), expand(template, facts, key(seed)));
  }));
});

Deno.test("expand() refuses an open bracket and an unknown slot", () => {
  assert.throws(() => expand("a [b", facts, key(0)), /^SyntaxError: .*bracket at 2 is not closed/);
  assert.throws(() => expand("{toString}", facts, key(0)), /^RangeError: .*no fact "toString"/);
});

Deno.test("tidy() mends what optional parts leave behind", () => {
  assert.equal(tidy("  well ,  yes . it's here!. wait... fine"), "Well, yes. It's here! Wait... Fine");
});

Deno.test("shuffle() keeps the items", () => {
  fc.assert(fc.property(fc.nat(), fc.array(fc.integer()), (seed, items) => {
    assert.deepEqual(shuffle(key(seed), items).toSorted(), items.toSorted());
  }));
});

Deno.test("days() gives real dates, in the order that the offsets say within a year", () => {
  const year = 2025; // a year without a leap day
  fc.assert(fc.property(fc.nat(), fc.integer({ min: -40, max: 40 }), (seed, offset) => {
    const date = (n: number) => days(n, n)(key(1), key(seed)).said;
    const parse = (said: string) => Date.parse(`${said} ${year} UTC`);
    const apart = (parse(date(offset)) - parse(date(0))) / 86_400_000;
    assert.equal((apart + 730) % 365, (offset + 730) % 365);
  }));
});

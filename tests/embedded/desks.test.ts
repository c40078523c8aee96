/** The desks' files are whole: every text can be expanded, and nothing in them is empty, misspelt or unread. */
import assert from "node:assert/strict";
import { bundle } from "../../browser/bundle.ts";
import { type DeskData, deskOf, SHARED } from "../../embedded/conversations/desk_data.ts";
import { DESKS } from "../../embedded/conversations/desks/mod.ts";
import { conversation } from "../../embedded/conversations/mod.ts";
import { deno } from "../support/deno.ts";
import { inFolder } from "../support/folder.ts";
import { deskFaults, listsOf } from "./desk_faults.ts";

const folder = new URL("../../embedded/conversations/desks/", import.meta.url);
const files = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.endsWith(".json"));
const textOf = (name: string): string => Deno.readTextFileSync(new URL(name, folder));
const dataOf = (name: string): DeskData => JSON.parse(textOf(name));

for (const name of files) {
  Deno.test(`${name} has no faults`, () => {
    assert.deepEqual(deskFaults(dataOf(name)), []);
    // One text on a line: a change of a text is a change of its line.
    for (const line of textOf(name).split("\n")) assert.ok(line.split('": "').length <= 3, line);
  });
}

Deno.test("DESKS are all files of the folder, their intents have names of their own, and every shared list is read", () => {
  const ids = files.flatMap((name) => dataOf(name).intents.map(({ id }) => id));
  assert.deepEqual(
    Object.values(DESKS).flatMap(({ intents }) => intents.map(({ id }) => id)).sort(),
    ids.sort(),
  );
  assert.equal(new Set(ids).size, ids.length);
  const read = new Set(files.flatMap((name) => listsOf(dataOf(name))));
  assert.deepEqual(Object.keys(SHARED).filter((name) => !read.has(name)), []);
});

/** A desk without faults, as JSON. */
const WHOLE = {
  about: "A florist.",
  companies: ["Bloom"],
  referenceNoun: "order number",
  reference: { code: ["##"] },
  departments: ["roses"],
  lists: { flower: ["rose", { said: "an old tulip", summed: "a tulip" }] },
  intents: [{
    id: "wilted",
    facts: { item: { list: "flower" }, fee: { money: { from: 1, to: 2 } } },
    openings: ["[My|The] {item} wilted, {first}."],
    questions: [{ ask: "Is it wet?", answer: "Yes." }],
    outcomes: [{ turns: ["That is {fee}."], deed: ["asks for {fee}"] }],
    problem: ["has {a:item.s}"],
  }],
};

/** Changes of its JSON, and the fault that each makes. */
const BREAKS: readonly (readonly [from: string, to: string, fault: RegExp])[] = [
  ["{item} wilted", "{itme} wilted", /no fact \{itme\}/],
  ["{a:item.s}", "{a:items.s}", /no fact \{items\}/],
  ["{item} wilted, {first}", "{item wilted", /is not closed/],
  ["[My|The]", "[My|The", /is not closed/],
  ["[My|The]", "My|The]", /outside brackets/],
  ["[My|The]", "[My]", /choice of one/],
  ['"Is it wet?"', '""', /the text ""/],
  ['"Yes."', '" Yes."', /the text " Yes\."/],
  ['["asks for {fee}"]', "[]", /deed: empty/],
  ['["Bloom"]', "[]", /companies: empty/],
  ['"rose",', '"rose","",', /the text ""/],
  ['{"list":"flower"}', '{"list":"flowers"}', /no list flowers/],
  ['{"list":"flower"}', '{"list":"products"}', /unused list/],
  ['"flower":[', '"cities":["Oslo"],"flower":[', /a shared list/],
  ['{"list":"flower"}', '{"list":"flower","code":["#"]}', /from list and code/],
  ['{"list":"flower"}', "{}", /facts, item: empty/],
  ['{"list":"flower"}', '{"one":["rose"]}', /from one/],
  ['{"list":"flower"}', '{"among":["rose","rose"]}', /"rose" twice/],
  ['"from":1', '"from":3', /from 3 to 2/],
  ['"from":1', '"form":1', /odd field form/],
  ['"fee":{"money"', '"free":{"count":{"from":1,"to":2}},"fee":{"money"', /unused fact \{free\}/],
  ['"openings"', '"opening"', /odd field opening/],
  ['"answer"', '"reply"', /no field answer/],
  ['"deed"', '"deeds"', /no field deed/],
];

Deno.test("deskFaults() finds nothing in a whole desk and names what is broken in others", () => {
  const whole = JSON.stringify(WHOLE);
  assert.deepEqual(deskFaults(JSON.parse(whole)), []);
  for (const [from, to, fault] of BREAKS) {
    assert.ok(whole.includes(from), from);
    const faults = deskFaults(JSON.parse(whole.replace(from, to)));
    assert.ok(faults.some((found) => fault.test(found)), `${from} to ${to}: ${faults.join("; ")}`);
  }
});

Deno.test("deskOf() refuses a fact that comes from nowhere, or from a list that is not there", () => {
  for (const source of ["{}", '{"list":"flowers"}']) {
    const broken = JSON.parse(JSON.stringify(WHOLE).replace('{"list":"flower"}', source));
    assert.throws(() => deskOf(broken), /^RangeError: .*"wilted, item".*known source/);
  }
});

Deno.test("the desks come along without a permission, as modules and in a bundle for browsers", () =>
  inFolder(async (folder) => {
    const url = new URL("../../embedded/conversations/mod.ts", import.meta.url);
    Deno.writeTextFileSync(`${folder}/bundle.js`, await bundle(url));
    for (const from of [url.href, "./bundle.js"]) {
      const program = `import { conversation } from "${from}";
        console.log(JSON.stringify(conversation({ a: 5, b: 7 }, 3)));`;
      Deno.writeTextFileSync(`${folder}/program.js`, program);
      const { code, said } = await deno(["run", "--no-prompt", "program.js"], folder);
      assert.equal(code, 0, said);
      assert.deepEqual(JSON.parse(said), conversation({ a: 5, b: 7 }, 3), from);
    }
  }));

/** A change of the API without its item in the changelog is told by name, and so is an item without a change. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { changedNames, complaintsOf, namesOf, notedNames } from "../../../tools/api_text/changes.ts";

const BEFORE = `# it

function f(a: number): number
interface O
  readonly a?: number
  b(): void
  (x: number): void
type T = 1

# it/room

export f of it
`;

const changelog = (items: string, hash = "0123"): string =>
  `# Changelog\n\n## 0.2.0, not yet released\n\n### API\n\nSince \`${hash}\`.\n\n${items}\n\n### Other\n\n- \`T\`: no.\n\n## 0.1.0\n`;

const said = (current: string, items: string, hash?: string): readonly string[] =>
  complaintsOf({ current, released: BEFORE, releasedHash: "0123", changelog: changelog(items, hash) });

Deno.test("nothing is said of an API that is as it was", () => {
  assert.deepEqual(said(BEFORE, ""), []);
});

/** Changes by what they change, and the names that must be said. */
const CHANGES: Readonly<Record<string, readonly [string, readonly string[]]>> = {
  "an argument": [BEFORE.replace("a: number)", "a?: number)"), ["f"]],
  "a new overload": [BEFORE.replace("interface", "function f(a: string): string\ninterface"), ["f"]],
  "an option that is new": [BEFORE.replace("  b()", "  readonly aa: number\n  b()"), ["O.aa"]],
  "an option that is gone": [BEFORE.replace("  readonly a?: number\n", ""), ["O.a"]],
  "an option that must be given": [BEFORE.replace("a?: number", "a: number"), ["O.a"]],
  "how it is called": [BEFORE.replace("(x: number)", "(x: string)"), ["O.()"]],
  "a type that is gone": [BEFORE.replace("type T = 1\n", ""), ["T"]],
  "an interface that is gone": [BEFORE.replace(/interface O\n( {2}.*\n)+/, ""), ["O"]],
  "what is exported again": [BEFORE.replace("export f of it\n", ""), ["f"]],
  "two things": [BEFORE.replace("T = 1", "T = 2").replace("b(): void", "b(): 1"), ["O.b", "T"]],
};

for (const [what, [current, names]] of Object.entries(CHANGES)) {
  Deno.test(`a change of ${what} must be noted by name`, () => {
    assert.notEqual(current, BEFORE);
    assert.deepEqual(changedNames(BEFORE, current), names);
    const complaints = said(current, "");
    assert.equal(complaints.length, names.length);
    for (const [i, name] of names.entries()) {
      assert.ok(complaints[i]!.startsWith(`${name} of the API changed`));
    }
    assert.deepEqual(said(current, `- ${names.map((name) => `\`${name}\``).join(", ")}: why.`), []);
    assert.notDeepEqual(said(current, `- ${names.map((name) => `\`${name}\``).join(", ")}:`), []);
    assert.notDeepEqual(said(current, `Of ${names.map((name) => `\`${name}\``).join(", ")}: why.`), []);
  });
}

Deno.test("an item of what did not change is told", () => {
  assert.match(said(BEFORE, "- `f`: is faster.")[0]!, /says that f of the API changed, which it did not/);
});

Deno.test("the text that changes start from is not rewritten without the changelog's line", () => {
  assert.match(said(BEFORE, "", "4567")[0]!, /does not say that it starts from the API 0123/);
});

Deno.test("after a release a change begins a new section", () => {
  const released = {
    released: BEFORE,
    releasedHash: "0123",
    changelog: "# Changelog\n\n## 0.2.0\n\n### API\n",
  };
  assert.deepEqual(complaintsOf({ current: BEFORE, ...released }), []);
  assert.match(
    complaintsOf({ current: BEFORE.replace("T = 1", "T = 2"), ...released })[0]!,
    /\(T\): begin a section/,
  );
});

Deno.test("names are those before the colon of an item", () => {
  assert.deepEqual(notedNames("### API\n- `a`, `b.c` and `d.()`: beside `e`.\n- `f` is no name: here.\n"), [
    "a",
    "b.c",
    "d.()",
  ]);
});

Deno.test("members are told by their names, whatever stands around them", () => {
  const text = "# it\n\ninterface O\n" +
    [
      "readonly a?: number",
      "static readonly b: number",
      "get c(): number",
      "get(): number",
      "readonly: boolean",
      "<T>(a: T): T",
      "readonly [key: string]: number",
      "[Symbol.dispose](): void",
      '"a b": number',
      "constructor(a: number)",
    ].map((line) => `  ${line}\n`).join("");
  const names = [
    "O",
    "a",
    "b",
    "c",
    "get",
    "readonly",
    "()",
    "[]",
    "[Symbol.dispose]",
    '"a b"',
    "constructor",
  ];
  assert.deepEqual([...namesOf(text).keys()], names.map((name) => name === "O" ? name : `O.${name}`));
});

const NAMES = ["a", "b", "c", "d", "e"];

Deno.test("exactly the names whose types differ are told", () => {
  const api = fc.dictionary(fc.constantFrom(...NAMES), fc.constantFrom("1", "2", "3"));
  const textOf = (types: Readonly<Record<string, string>>): string =>
    `# it\n\n${Object.entries(types).map(([name, type]) => `type ${name} = ${type}\n`).join("")}`;
  fc.assert(fc.property(api, api, (before, after) => {
    assert.deepEqual(
      changedNames(textOf(before), textOf(after)),
      NAMES.filter((name) => before[name] !== after[name]),
    );
  }));
});

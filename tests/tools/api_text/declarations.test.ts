/** The API's text of a package in a folder, beside what was written in it. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { apiText } from "../../../tools/api_text/declarations.ts";
import { temporaryFolder } from "../../cli/tiny.ts";

/** The text of a package of the file main.ts, and of others beside it. */
function textOf(files: Readonly<Record<string, string>>): string {
  using folder = temporaryFolder();
  for (const [name, source] of Object.entries(files)) writeFileSync(`${folder.path}/${name}`, source);
  const { stdout, stderr, success } = new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ...Object.keys(files)],
    cwd: folder.path,
  }).outputSync();
  assert.ok(success, new TextDecoder().decode(stderr));
  const exports = Object.fromEntries(
    Object.keys(files).map((name) => [name === "main.ts" ? "." : `./${name.slice(0, -3)}`, `./${name}`]),
  );
  return apiText(
    "it",
    exports,
    pathToFileURL(`${folder.path}/`),
    JSON.parse(new TextDecoder().decode(stdout)),
  );
}

/** Declarations and their line, which is the declaration itself but for bodies, defaults and names taken apart. */
const AS_THEY_ARE: readonly string[] = [
  'type A = "a" | 1 | -2.5 | true | null | undefined',
  "type A = readonly number[]",
  "type A = [number, ...string[]]",
  "type A<K extends string = string, V = never> = { readonly [P in K]: V }",
  "type A<T> = { -readonly [P in keyof T]-?: T[P] }",
  "type A<T> = { [P in keyof T as `get${string & P}`]?: () => T[P] }",
  "type A<T> = T extends (infer U)[] ? U : never",
  "type A = new <T>(a: T, b?: number) => Map<T, string>",
  "type A = { a: number; readonly b?: (c: string) => void } & { d(): void }",
  "type A = typeof globalThis",
  "const a: unique symbol",
  "const a: (string | number)[]",
  "function a(b: number, c?: string): asserts b is 3",
  "function a<T extends object>(b: T, ...c: string[]): b is T",
];

for (const [index, line] of AS_THEY_ARE.entries()) {
  Deno.test(`a declaration is its own text: ${index}: ${line}`, () => {
    assert.equal(textOf({ "main.ts": `export declare ${line};` }), `# it\n\n${line}\n`);
  });
}

Deno.test("members stand below their declaration, by name, without what is private", () => {
  const source = `
export interface I<T> extends Array<T> { b: number; readonly a?: T; get c(): number; [key: string]: unknown; (x: T): void }
export class C extends Error {
  static readonly z: number = 1;
  #hidden = 2;
  private also = 3;
  constructor(readonly text: string, { a }: { a?: number } = {}) { super(text + a + this.#hidden + this.also); }
  override toString(): string { return ""; }
  get size(): number { return 0; }
}
`;
  assert.equal(
    textOf({ "main.ts": source }),
    [
      "# it",
      "",
      "class C extends Error",
      "  constructor(text: string, options?: { a?: number })",
      "  get size(): number",
      "  toString(): string",
      "  static readonly z: number",
      "interface I<T> extends Array<T>",
      "  (x: T): void",
      "  [key: string]: unknown",
      "  readonly a?: T",
      "  b: number",
      "  get c(): number",
      "",
    ].join("\n"),
  );
});

Deno.test("overloads are lines of their own, and a name of an earlier export is only named", () => {
  const files = {
    "main.ts": 'export { f, type T as U } from "./other.ts";\n',
    "other.ts": "export function f(a: number): number;\nexport function f(a: string): string;\n" +
      "export function f(a: never): unknown { return a; }\nexport type T = 1;\n",
  };
  assert.equal(
    textOf(files),
    "# it\n\ntype U = 1\nfunction f(a: number): number\nfunction f(a: string): string\n\n" +
      "# it/other\n\ntype T = 1\nexport f of it\n",
  );
});

Deno.test("JSON of another version, and kinds that are not known, are refused", () => {
  const root = new URL("file:///a/");
  assert.throws(
    () => apiText("it", { ".": "./main.ts" }, root, { version: 3, nodes: {} }),
    /version 3, but 2/,
  );
  const symbol = (tsType: unknown): unknown => ({
    name: "a",
    declarations: [{ kind: "variable", location: { filename: "f", line: 1, col: 0 }, def: { tsType } }],
  });
  const nodes = { "file:///a/main.ts": { symbols: [symbol({ kind: "novel" })] } };
  assert.throws(
    () => apiText("it", { ".": "./main.ts" }, root, { version: 2, nodes }),
    /unknown kind "novel"/,
  );
});

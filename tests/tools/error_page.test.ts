/** The page of error codes is up to date, no public path throws an error without a code, and no code is idle. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { MEANINGS } from "../../errors/error.ts";
import { codeOf, codesIn, errorPage, PAGE, sourcesOfRooms } from "../../tools/error_page.ts";

/** Errors without a code of graft's, and why. */
const WITHOUT: Readonly<Record<string, string>> = {
  "browser/bundle.ts: new Error": "is a program of a clone, for those who build the bundle",
  "cli/thread_errors.ts: new Error": "is the error of another thread again, with the code that it had",
  "cli/terminal/arguments.ts: class Exit": "ends the program with a number, and is no error",
  "io/hub/fetch.ts: class Interrupted": "never leaves its file",
  "serve/problem.ts: class Problem": "is an answer of the server's, with OpenAI's own codes",
  "studio/files/volume.ts: new Error": "is a file system's, with the system's own codes",
  "studio/node/crypto.ts: new Error": "stands for Node's own",
  "studio/node/process.ts: new Error": "stands for Node's own",
  "studio/node/small.ts: new Error": "stands for Node's own",
  "studio/page/client.ts: new Error": "is the worker's error again, for people",
};

/** What makes an error without a code: a constructor, but for one within withCode, and a class without the field. */
export function uncoded(source: string): readonly string[] {
  const code = codeOf(source);
  const made = [...code.matchAll(/(withCode\(\s*(?:"\w+"|[^()]*"),\s*)?\bnew (\w*Error|Kind)\(/g)]
    .filter(([, coded, name]) =>
      coded === undefined && !/^(Usage|InvalidArgument|BackendMismatch)Error$/.test(name!)
    )
    .map(([, , name]) => `new ${name}`);
  const classes = [...code.matchAll(/class (\w+) extends \w*Error\b([\s\S]*?\n?\}\n)/g)]
    .filter(([, , body]) => !body!.includes('readonly code: "')).map(([, name]) => `class ${name}`);
  return [...made, ...classes];
}

Deno.test("errors without a code are told", () => {
  assert.deepEqual(uncoded('throw new RangeError("a");\n'), ["new RangeError"]);
  assert.deepEqual(
    uncoded('throw withCode("FREED", new Kind("a"));\n/* new Error(1) */ rangeError("FREED", "a")'),
    [],
  );
  assert.deepEqual(uncoded("class A extends Error {\n  readonly a = 1;\n}\n"), ["class A"]);
  assert.deepEqual(uncoded('class A extends Error {\n  readonly code: "FREED" = "FREED";\n}\n'), []);
});

Deno.test("every error of a public path has a code", () => {
  const found = [...sourcesOfRooms()].flatMap(([path, source]) =>
    uncoded(source).map((what) => `${path}: ${what}`)
  );
  assert.deepEqual(found.filter((what) => !(what in WITHOUT)), []);
  assert.deepEqual(Object.keys(WITHOUT).filter((what) => !found.includes(what)), [], "listed without need");
});

Deno.test("every code is given somewhere", () => {
  const given = new Set([...sourcesOfRooms().values()].flatMap(codesIn));
  assert.deepEqual(Object.keys(MEANINGS).filter((code) => !given.has(code)), []);
  assert.ok(given.size > 30);
});

Deno.test("docs/errors.md is what the sources give", () => {
  assert.equal(
    readFileSync(new URL(`../../${PAGE}`, import.meta.url), "utf8"),
    errorPage(),
    "run deno task errors",
  );
});

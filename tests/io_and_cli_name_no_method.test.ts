/**
 * The rooms that read and write adapters and the command line know methods by what methods/index.ts says of them: none names one,
 * so that a new method needs no line there.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { CODECS, DEFINITIONS, FORMS } from "../methods/index.ts";

const ROOT = new URL("../", import.meta.url);

/** Rooms of methods that are about no single one. */
const SHARED = ["peft", "adapterhub", "shared"];

/** Literals that are other words there, with what they are. */
const OTHER_WORDS: Readonly<Record<string, string>> = {
  "cli/finetune/preference_data.ts: prompt": "a field of an example",
  "tuning/chosen_method.ts: bottleneck": "the flag --bottleneck, which several methods share",
};

const camel = (name: string): string =>
  name.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

/** Every word that means a method in a program, a file or a command. */
const WORDS = new Set([
  ...DEFINITIONS.flatMap(({ name, aliases = [] }) => [name, camel(name), ...aliases]),
  ...CODECS.map(({ type }) => type),
  ...FORMS.flatMap(({ types }) => types),
]);

/** The lines of a source that are no comment. */
const code = (text: string): string =>
  text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");

/** What a source says of methods: literals that are their names, and imports of what is theirs. */
function named(text: string): readonly string[] {
  const lines = code(text);
  const literals = [...lines.matchAll(/"([^"\n]*)"|'([^'\n]*)'|`([^`$]*)`/g)]
    .map(([, a, b, c]) => a ?? b ?? c!).filter((word) => WORDS.has(word));
  const imports = [...lines.matchAll(/from "[^"]*methods\/([^"]+)"/g)].map(([, path]) => path!)
    .filter((path) => path.includes("/") && !SHARED.includes(path.slice(0, path.indexOf("/"))));
  const ofMod = [...lines.matchAll(/import (?:type )?\{([^}]*)\} from "[^"]*methods\/mod\.ts"/g)]
    .flatMap(([, names]) => names!.split(",").map((name) => name.trim().replace(/^type /, "")))
    .filter((name) => WORDS.has(name) || /(Definition|Options|Peft)$/.test(name));
  return [...new Set([...literals, ...imports, ...ofMod])];
}

Deno.test("what names a method is found", () => {
  assert.deepEqual(named('const a = x === "lora" ? 1 : "lorry";'), ["lora"]);
  assert.deepEqual(named('if (type === "PREFIX_TUNING") return "prefixTuning";'), [
    "PREFIX_TUNING",
    "prefixTuning",
  ]);
  assert.deepEqual(named('import { lora } from "../methods/low_rank/lora.ts";'), ["low_rank/lora.ts"]);
  assert.deepEqual(named('import { ia3, type Limit, toLora } from "../methods/mod.ts";'), ["ia3"]);
  assert.deepEqual(named('/** Such as "lora". */ import { CODECS } from "../methods/index.ts";'), []);
});

for (const room of ["io", "cli", "tuning"]) {
  Deno.test(`${room}/ names no method`, () => {
    const files = readdirSync(new URL(room, ROOT), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts")).map((path) => `${room}/${path}`);
    assert.ok(files.length > 10);
    const found = files.flatMap((path) =>
      named(readFileSync(new URL(path, ROOT), "utf8")).filter((word) => !(`${path}: ${word}` in OTHER_WORDS))
        .map((word) => `${path}: ${word}`)
    );
    assert.deepEqual(found, []);
  });
}

Deno.test("no other word is listed without need", () => {
  const idle = Object.keys(OTHER_WORDS).filter((one) => {
    const [path, word] = one.split(": ") as [string, string];
    return !named(readFileSync(new URL(path, ROOT), "utf8")).includes(word);
  });
  assert.deepEqual(idle, []);
});

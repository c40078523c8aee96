/** The tables of docs/coming_from_peft.md: what stands under our names type-checks against the library and the command line. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as peft from "../../mod.ts";
import * as train from "../../train/mod.ts";
import { temporaryFolder } from "../cli/tiny.ts";
import { deno } from "../support/deno.ts";
import { spansOf } from "./blocks.ts";
import { commandsOf, complaintOf } from "./command_lines.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");
const page = readFileSync(`${ROOT}/docs/coming_from_peft.md`, "utf8");

/** Code in all columns of tables but the first, which is PEFT's. */
const ours: readonly string[] = page.split("\n").filter((line) => line.startsWith("| ")).flatMap((line) => {
  const [, ...columns] = line.slice(1, -1).split(/(?<!\\)\|/);
  return spansOf(columns.join(" ")).map(([, text]) => text);
});

const isCommand = (text: string): boolean => /^(--|graft )/.test(text);

/** Names that stand before a parenthesis, and nothing before them. */
const called = (text: string): readonly string[] =>
  [...text.matchAll(/(?<![\w.])([A-Za-z]\w*)\(/g)].map((match) => match[1]!).filter((name) =>
    name !== "await"
  );

/** The line of a program that holds a span: a call as it stands, anything else as an option of training. */
function lineOf(text: string): string {
  if (/^[A-Za-z]\w*\(/.test(text)) return `  void ${/\bawait\b/.test(text) ? `(${text})` : text};`;
  if (/^\w+: /.test(text)) return `  void ({ ${text} } satisfies Partial<TrainOptions>);`;
  if (/^\w+$/.test(text)) return `  void ("${text}" satisfies keyof TrainOptions);`;
  return "";
}

/** Spans that are no code of ours to check: values, paths, and headings of columns. */
const APART =
  /^(model\.tokenizer|\{ method, params \}|rows|model|examples\/.*\.ts|startTraining\(model, adapter, rows, options\))$/;

Deno.test("what the tables of docs/coming_from_peft.md call is exported, and takes what they give it", async () => {
  const spans = ours.filter((text) => !isCommand(text) && !APART.test(text));
  assert.ok(spans.length > 50, `${spans.length} spans`);
  const lost = spans.filter((text) => lineOf(text) === "");
  assert.deepEqual(lost, [], "every span is checked in one of the ways above");
  const names = [...new Set(spans.flatMap(called))];
  const unknown = names.filter((name) => !(name in peft) && !(name in train));
  assert.deepEqual(unknown, []);
  const of = (found: (name: string) => boolean): string => names.filter(found).join(", ");
  const program = `
import { ${of((name) => name in peft)}, type Adapter, type Backend, type Model } from "@graft/peft";
import { ${
    of((name) => !(name in peft))
  }, type ExampleFile, type PreferenceRows, type TrainOptions } from "@graft/peft/train";
import type { Tokenizer } from "@graft/peft/formats";
interface Given {
  backend: Backend; model: Model<Tokenizer>; tuned: Model<Tokenizer>; adapter: Adapter; other: Adapter;
  rows: PreferenceRows; pairs: PreferenceRows; examples: ExampleFile;
}
export async function checked({ backend, model, tuned, adapter, other, rows, pairs, examples }: Given): Promise<void> {
  void [backend, tuned, other, rows, pairs, examples];
  await Promise.resolve();
${spans.map(lineOf).join("\n")}
}
`;
  using folder = temporaryFolder();
  const path = `${folder.path}/tables.ts`;
  writeFileSync(path, program);
  const { code, said } = await deno(
    ["check", "--config", `${ROOT}/deno.json`, "--no-lock", path],
    folder.path,
  );
  assert.equal(code, 0, said);
});

Deno.test("what the tables of docs/coming_from_peft.md say on the command line parses", async () => {
  const lines = ours.filter(isCommand).filter((text) => / /.test(text));
  assert.ok(lines.length > 8, `${lines.length} lines`);
  for (const text of lines) {
    const command = text.startsWith("graft ") ? text : `graft finetune -m model -d data ${text}`;
    if (/^graft \w+$/.test(text)) continue;
    assert.equal(await complaintOf(commandsOf(command)[0]!, ROOT), undefined, text);
  }
});

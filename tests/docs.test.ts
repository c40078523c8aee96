/**
 * Documents that keep their word: TypeScript blocks are type-checked and run, JSON blocks parsed, command lines and flags
 * checked against the command line's own tables, links followed. A hub id is served by a local server.
 */
import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { anchorsOf, type Block, blocksOf, continuedLines, linksOf, spansOf } from "./docs/blocks.ts";
import { commandsOf, complaintOf, knownFlags } from "./docs/command_lines.ts";
import { hubOf } from "./docs/hub_server.ts";
import { temporaryFolder } from "./cli/tiny.ts";
import { deno } from "./support/deno.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url)).replace(/\/$/, "");

const DOCUMENTS: readonly string[] = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "bench/README.md",
  ...readdirSync(`${ROOT}/docs`, { recursive: true }).map(String).filter((name) => name.endsWith(".md"))
    .sort()
    .map((name) => `docs/${name}`),
];

const textOf = (file: string): string => readFileSync(`${ROOT}/${file}`, "utf8");
const blocks: readonly Block[] = DOCUMENTS.flatMap((file) => blocksOf(file, textOf(file)));
const where = ({ file, line }: Block): string => `${file}:${line}`;

/** The files that readers are told to have at hand. */
function layTable(folder: string): void {
  cpSync(`${ROOT}/embedded/model`, `${folder}/embedded/model`, { recursive: true });
  const turn = {
    dialogue: "ann: where is my parcel?\nbob: it arrives on monday",
    summary: "The parcel arrives on Monday.",
  };
  const question = { prompt: "Two and two?", completion: " Four." };
  writeFileSync(`${folder}/train.jsonl`, `${JSON.stringify(turn)}\n`.repeat(12));
  writeFileSync(`${folder}/prompts.jsonl`, `${JSON.stringify(question)}\n`.repeat(12));
}

/** What a Deno that failed said; nothing of one that did well. */
async function complaint(
  args: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
): Promise<string> {
  const { code, said } = await deno(args, cwd, env);
  return code === 0 ? "" : said;
}

const LANGUAGES = ["ts", "sh", "json", "jsonl", "text", "mermaid", "python", "rust", "wgsl"];

Deno.test("every block of the documents names a language that is checked here", () => {
  for (const block of blocks) {
    assert.ok(LANGUAGES.includes(block.language), `${where(block)} is "${block.language}"`);
    assert.equal(block.attributes, "", `${where(block)}: nothing is left out`);
  }
});

const CONFIG = ["--config", `${ROOT}/deno.json`, "--no-lock"];

/** Writes a document's programs into a folder; errors then name their lines. */
function written(file: string, folder: string): readonly string[] {
  return blocks.filter((block) => block.file === file && block.language === "ts").map((block) => {
    const path = `${folder}/${file.replaceAll("/", "_")}_line_${block.line}.ts`;
    writeFileSync(path, block.text);
    return path;
  });
}

Deno.test("the programs in the documents are well typed", async () => {
  using folder = temporaryFolder();
  const paths = DOCUMENTS.flatMap((file) => written(file, folder.path));
  assert.ok(paths.length > 0);
  assert.equal(await complaint(["check", ...CONFIG, ...paths], folder.path), "");
});

for (const file of DOCUMENTS) {
  if (!blocks.some((block) => block.file === file && block.language === "ts")) continue;
  Deno.test(`the programs in ${file} run`, async () => {
    using folder = temporaryFolder();
    await using hub = hubOf(`${ROOT}/embedded/model`);
    layTable(folder.path);
    const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: `${folder.path}/hub`, HF_TOKEN: "hf_local" };
    const runner = `${ROOT}/tests/docs/run_blocks.ts`;
    const paths = written(file, folder.path);
    assert.equal(
      await complaint(["run", "-A", "--no-check", ...CONFIG, runner, ...paths], folder.path, env),
      "",
    );
  });
}

Deno.test("JSON blocks are JSON", () => {
  for (const block of blocks.filter(({ language }) => language === "json" || language === "jsonl")) {
    const texts = block.language === "json" ? [block.text] : block.text.trim().split("\n");
    for (const text of texts) assert.doesNotThrow(() => JSON.parse(text), `${where(block)}`);
  }
});

Deno.test("every command line of the documents is one", async () => {
  let seen = 0;
  for (const block of blocks.filter(({ language }) => language === "sh")) {
    for (const command of commandsOf(block.text)) {
      seen++;
      const complaint = await complaintOf(command, ROOT);
      assert.equal(complaint, undefined, `${where(block)}: ${command.join(" ")}`);
    }
  }
  assert.ok(seen > 3, `only ${seen} command lines were seen`);
});

Deno.test("command lines and flags in the text exist", async () => {
  const known = knownFlags();
  for (const file of DOCUMENTS) {
    for (const [line, text] of spansOf(textOf(file))) {
      for (const [flag] of text.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)) {
        const foreign = /^(cargo|deno (?!task)|git|llama-|pip|apt-get|npm|srun)/.test(text);
        assert.ok(foreign || known.has(flag), `${file}:${line} names ${flag}, which no command has`);
      }
      if (/^(npx -y )?deno task \S+/.test(text)) {
        const complaint = await complaintOf(commandsOf(text)[0]!, ROOT);
        assert.doesNotMatch(complaint ?? "", /^there is no task/, `${file}:${line}: ${text}`);
      }
    }
  }
});

Deno.test("every paragraph of the documents is one line", () => {
  assert.deepEqual(continuedLines("a\nb\n\n- c\n  d\n- e\n\n```sh\nf\ng\n```\n| h |\n# i\nj"), [2, 5]);
  for (const file of DOCUMENTS) {
    assert.deepEqual(continuedLines(textOf(file)), [], `${file} is wrapped at these lines`);
  }
});

Deno.test("links between the documents lead somewhere", () => {
  for (const file of DOCUMENTS) {
    for (const [line, target] of linksOf(textOf(file))) {
      const [path = "", anchor] = target.split("#");
      const folder = file.includes("/") ? file.replace(/\/[^/]*$/, "/") : "";
      const to = path === "" ? file : new URL(path, `file:///${folder}`).pathname.slice(1);
      assert.ok(existsSync(`${ROOT}/${to}`), `${file}:${line} links to ${target}, which is not there`);
      if (anchor !== undefined) {
        assert.ok(anchorsOf(textOf(to)).includes(anchor), `${file}:${line}: no heading #${anchor}`);
      }
    }
  }
});

Deno.test("the checks of command lines see what is wrong", async () => {
  const bad = [
    "graft finetune --data x --bogus",
    "graft finetun",
    "graft generate --top-p 2",
    "graft quantize --type nf5",
    "deno task nothing",
    "npx -y deno task grft",
    "deno run examples/none.ts",
    "rm -rf x",
  ];
  for (const line of bad) assert.ok(await complaintOf(commandsOf(line)[0]!, ROOT) !== undefined, line);
  assert.deepEqual(commandsOf(`A=1 graft x "a b" 'c"d' \\\n --y # no\ngraft z && ls | cat`), [
    ["graft", "x", "a b", 'c"d', "--y"],
    ["graft", "z"],
    ["ls"],
    ["cat"],
  ]);
});

Deno.test("the gate looks for symbols without documentation in every export", () => {
  const { exports, tasks } = JSON.parse(textOf("deno.json"));
  const entries = Object.values<string>(exports).map((path) => path.replace("./", ""));
  assert.equal(tasks["doc-lint"], `deno doc --lint ${entries.join(" ")}`);
  assert.ok(tasks.ok.dependencies.includes("doc-lint"));
});

Deno.test("every exported function and class has an example that asserts", async () => {
  const { exports } = JSON.parse(textOf("deno.json"));
  const { code, said } = await deno(["doc", "--json", ...Object.values<string>(exports)], ROOT);
  assert.equal(code, 0, said);
  const { nodes }: { nodes: Record<string, DocumentedModule> } = JSON.parse(said);
  const lacking = Object.values(nodes).flatMap(({ symbols }) =>
    symbols.filter(({ declarations }) =>
      declarations.some(({ kind }) => kind === "function" || kind === "class") &&
      !declarations.some(({ jsDoc }) =>
        jsDoc?.tags?.some(({ kind, doc = "" }) => kind === "example" && doc.includes("assert"))
      )
    ).map(({ name }) => name)
  );
  assert.deepEqual([...new Set(lacking)], []);
});

Deno.test("what docs/choosing.md says that methods cost is what the command prints", async () => {
  const { code, said } = await deno([
    "run",
    "-A",
    "--no-check",
    "cli/main.ts",
    "methods",
    "-m",
    "embedded",
    "--wide",
  ], ROOT);
  assert.equal(code, 0, said);
  const printed = new Map(said.split("\n").map((line) => [line.split(" ")[0]!, line]));
  const rows = textOf("docs/choosing.md").split("\n").filter((line) => / (kB|MB) \|/.test(line));
  assert.ok(rows.length > 5);
  for (const row of rows) {
    const [name, , trainable, file, state, merges, later] = row.split("|").slice(1, -1).map((cell) =>
      cell.trim()
    );
    const line = printed.get(name!.replaceAll("`", "")) ?? assert.fail(`there is no ${name}`);
    const numbers = [
      /^[\d.]+/.exec(trainable!)![0],
      file!,
      state!,
      ` ${merges} `,
      /[\d.]+/.exec(later!)?.[0] ?? "",
    ];
    for (const number of numbers) assert.ok(line.includes(number), `${name}: ${number} is not in "${line}"`);
  }
});

/** What `deno doc --json` says of a module. */
interface DocumentedModule {
  readonly symbols: readonly {
    readonly name: string;
    readonly declarations: readonly {
      readonly kind: string;
      readonly jsDoc?: { readonly tags?: readonly { readonly kind: string; readonly doc?: string }[] };
    }[];
  }[];
}

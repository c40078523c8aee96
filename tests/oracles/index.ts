/**
 * The index of the golden files: which script made a case and which tests read it. Writes tests/oracles/index.md:
 *
 *     deno run -A tests/oracles/index.ts
 *
 * What a test reads is found in its text, without running it: paths below golden/ in its strings, and names of cases beside
 * the calls that look them up.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A case: a file or folder that a script made. */
export interface Case {
  /** Below golden/: "reparam/loha.safetensors", "peft_updates/road", "bpe.json". */
  readonly path: string;
  /** The script's name without its ending: the first part of the path. */
  readonly script: string;
  /** What a source calls it: the last part of the path without its ending. */
  readonly name: string;
}

/** The text of a TypeScript file below tests/. */
export interface Source {
  /** Below tests/. */
  readonly path: string;
  readonly text: string;
}

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const GOLDEN = `${ROOT}oracles/golden/`;

/** Every case below golden/, in order. */
export function casesIn(golden: string = GOLDEN): readonly Case[] {
  return readdirSync(golden).sort().flatMap((entry) => {
    if (!statSync(golden + entry).isDirectory()) {
      return [{ path: entry, script: stem(entry), name: stem(entry) }];
    }
    return readdirSync(golden + entry).sort().map((inner) => ({
      path: `${entry}/${inner}`,
      script: entry,
      name: stem(inner),
    }));
  });
}

/** The sources of the tests, those that make golden files left out. */
export function sourcesIn(root: string = ROOT): readonly Source[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.startsWith("oracles/"))
    .map((path) => ({ path, text: readFileSync(root + path, "utf8") }));
}

/** What is wrong with a case, or undefined: its script is missing, writes no such folder or does not know its name. */
export function unmade(
  { path, script, name }: Case,
  oracles: string = `${ROOT}oracles/`,
): string | undefined {
  const file = fileOf(script, oracles);
  if (!existsSync(oracles + file)) return `golden/${path}: there is no ${file}`;
  // What it does, not what it says of itself.
  const text = readFileSync(oracles + file, "utf8").replace(/^\s*("""[^]*?"""|\/\*\*[^]*?\*\/)/, "");
  if (
    !new RegExp(
      `golden["/, ]+${script}|\\{GOLDEN\\}/${script}|ROOT \\+ "/${script}|ROOT\\}/${script}|GOLDEN / "${script}`,
    ).test(text)
  ) {
    return `golden/${path}: ${file} writes nothing there`;
  }
  if (name !== script && !spelled(name, wordsOf(text))) {
    return `golden/${path}: ${file} names no "${name}"`;
  }
  return undefined;
}

/** A script's file: Python, but for the one that runs our own earlier code. */
function fileOf(script: string, oracles: string = `${ROOT}oracles/`): string {
  return [".py", ".ts"].map((ending) => script + ending).find((file) => existsSync(oracles + file)) ??
    `${script}.py`;
}

/** The paths of the sources that read each case, below tests/. */
export function readersOf(
  cases: readonly Case[],
  sources: readonly Source[],
): ReadonlyMap<Case, readonly string[]> {
  const readers = new Map<Case, string[]>(cases.map((entry) => [entry, []]));
  for (const source of sources) {
    if (!/golden|adapterHubCase\(|peftPrompt\(/i.test(source.text)) continue;
    for (const entry of readBy(source, cases)) readers.get(entry)!.push(source.path);
  }
  return readers;
}

/** The cases that a source reads. */
function readBy({ path, text }: Source, cases: readonly Case[]): ReadonlySet<Case> {
  const found = new Set<Case>();
  const words = wordsOf(text);
  const lists = /readDirSync\(|caseFolders\(/.test(text);
  const add = (script: string, takes: (entry: Case) => boolean): void => {
    for (const entry of cases) if (entry.script === script && takes(entry)) found.add(entry);
  };
  for (const script of new Set(cases.map((entry) => entry.script))) {
    for (const [, rest] of text.matchAll(new RegExp(`["'\`}/]${script}(/[^"'\`\\s]*|\\.\\w+|(?=\`))`, "g"))) {
      if (rest === undefined || rest === "" || rest === "/") {
        add(script, ({ name }) => lists || spelled(name, words)); // a folder, whose cases are named elsewhere or listed
      } else if (rest.startsWith(".")) {
        add(script, (entry) => entry.path === `${script}${rest}`);
      } else {
        const first = rest.slice(1).split("/")[0]!;
        const matching = cases.filter((entry) =>
          entry.script === script && pattern(first).test(entry.path.slice(script.length + 1))
        );
        const spelt = matching.filter(({ name }) => spelled(name, words));
        // Names that stand nowhere in the source are those of another golden file.
        for (const entry of first.includes("${") && spelt.length > 0 ? spelt : matching) found.add(entry);
      }
    }
  }
  if (path.startsWith("formats/") && /from "\.\/golden\.ts"/.test(text)) {
    add("formats", ({ name }) => spelled(name, words));
  }
  for (const list of text.matchAll(/madeBy\(\s*\[([^\]]*)\]/g)) {
    for (const [, script] of list[1]!.matchAll(/"(\w+)"/g)) add(script!, ({ name }) => spelled(name, words));
  }
  if (!path.startsWith("support/")) {
    if (/\badapterHubCase\(/.test(text)) {
      for (const script of ["adapter_hub_cases", "late_fusion"]) {
        add(script, ({ name }) => spelled(name, words));
      }
    }
    for (const list of ["PEFT_FOLDERS", "PEFT_PROMPT_FOLDERS"]) {
      if (!new RegExp(`\\b${list}\\b`).test(text)) continue;
      for (const script of scriptsOf(list)) {
        add(script, (entry) => existsSync(`${GOLDEN}${entry.path}/case.json`));
      }
    }
    if (
      /\b(methodFile|golden(Case|Params|Methods|Starts)|methodIsGolden|preparedLives|loraByAnotherName|peftPrompt|assert(Golden(Life)?|Merged|Steps))\(/
        .test(text)
    ) {
      for (const script of new Set(cases.map((entry) => entry.script)).values().filter(runsTinyLlama)) {
        add(
          script,
          ({ path, name }) =>
            path.endsWith(".safetensors") &&
            new RegExp(`(^|[{,]) *${name}:|"${name}[" ]`, "m").test(text),
        );
      }
    }
  }
  return found;
}

/** Whether a script runs methods on the tiny Llama. */
const runsTinyLlama = (script: string): boolean =>
  readFileSync(`${ROOT}oracles/${fileOf(script)}`, "utf8").includes("llama_lora/base");

/** The scripts in one of the lists of tests/support/golden.ts. */
function scriptsOf(list: string): readonly string[] {
  const text = readFileSync(`${ROOT}support/golden.ts`, "utf8");
  const [, names] = new RegExp(`const ${list}: readonly string\\[\\] = \\[([^\\]]*)\\]`).exec(text)!;
  return [...names!.matchAll(/"(\w+)"/g)].map(([, name]) => name!);
}

/** Whether a name is one of the words or several of them joined by "_". */
function spelled(name: string, words: ReadonlySet<string>): boolean {
  if (words.has(name)) return true;
  for (let at = name.indexOf("_"); at > 0; at = name.indexOf("_", at + 1)) {
    if (words.has(name.slice(0, at)) && spelled(name.slice(at + 1), words)) return true;
  }
  return false;
}

/** The words of a source, also without the "_" that stand where a template goes on. */
function wordsOf(text: string): ReadonlySet<string> {
  const words = [...text.matchAll(/[\w-]+/g)].map(([word]) => word);
  return new Set(words.flatMap((word) => [word, word.replace(/^_+|_+$/g, "")]));
}

const pattern = (template: string): RegExp =>
  new RegExp(
    `^${
      template.split(/\$\{[^}]*\}?/).map((part) => part.replace(/[.*+?^$()[\]{}|\\]/g, "\\$&")).join(".+")
    }$`,
  );

const stem = (file: string): string => file.replace(/\.(jsonl?|safetensors|gguf)$/, "");

/** The index as Markdown. */
export function index(readers: ReadonlyMap<Case, readonly string[]>): string {
  const rows = [...readers].map(([{ path, script }, tests]) =>
    `| ${path} | ${fileOf(script)} | ${tests.toSorted().join(", ")} |`
  );
  return [
    "# Golden cases",
    "",
    "Written by `deno run -A tests/oracles/index.ts`; [README.md](README.md) says how the scripts are run. A case is a file or folder " +
    "below `golden/`, and the files that read it stand below `tests/`: what is in `support/` reads for the tests that import it.",
    "",
    "| case | script | read by |",
    "| --- | --- | --- |",
    ...rows,
    "",
  ].join("\n");
}

if (import.meta.main) {
  writeFileSync(`${ROOT}oracles/index.md`, index(readersOf(casesIn(), sourcesIn())));
}

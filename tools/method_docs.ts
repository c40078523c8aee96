/**
 * Writes docs/methods/reference.md from the definitions: each method's paper and formula (the header of its file), its options,
 * what the command line offers, and its type in PEFT folders. `deno task index` writes it, `deno task ok` compares it.
 */
import type { MethodDefinition } from "../mod.ts";
import type { Option } from "../core/options/mod.ts";

/** An export of a file of methods/. */
export interface Found {
  readonly family: string;
  readonly path: string;
  readonly name: string;
  readonly kind: string;
}

/** What the page says of a method. */
export interface Documented {
  /** Where it stands in methods/. */
  readonly found: Found;
  readonly definition: MethodDefinition;
  /** The text of its file. */
  readonly text: string;
  /** `peft_type`s of its folders. */
  readonly peft?: readonly string[];
}

/** Options that every method of layers has, described once. */
const COMMON = ["targets", "exclude", "layers"];

/** The page. */
export function referencePage(methods: readonly Documented[]): string {
  const families = Map.groupBy(
    methods.filter(({ found }) => found.family !== "combinators"),
    ({ found }) => found.family,
  );
  const parts = [...families].map(([family, here]) =>
    `## ${title(family)}\n\n${here.filter(isFirst).map(entry).join("\n")}`
  );
  return `# Every method

Written by \`deno task index\` from the methods' definitions; what stands here is said in the file of the method and nowhere else. The pages of the families say what goes with what: [low rank](low_rank.md), [structured](structured.md), [adapters](adapters.md), [soft prompts](soft_prompts.md), [rescaling](rescaling.md), [selective](selective.md), [side networks](side_networks.md); [hybrids](../hybrids.md) are made of others.

A name is understood in any case, with hyphens, underscores or neither. Methods of layers also have \`targets\` (names, a pattern, or \`"all-linear"\`), \`exclude\` and \`layers\`.

${parts.join("\n")}`;
}

/** The table of a family's page: what each method does, the facts of its definition, and its source. */
export function familyTable(family: string, methods: readonly Documented[]): string {
  const here = methods.filter(({ found, definition: { cli, facts } }) =>
    found.family === family && (cli !== undefined || facts !== undefined)
  ).filter(isFirst);
  const columns = [
    ...new Set(here.flatMap(({ definition: { facts = {} } }) => Object.keys(facts))),
  ].filter((name) => name !== "source");
  const row = (cells: readonly string[]): string =>
    `|${cells.map((cell) => cell === "" ? " " : ` ${cell} `).join("|")}|`;
  return [
    row(["method", "what it does", ...columns, "source"]),
    `|${"---|".repeat(columns.length + 3)}`,
    ...here.map(({ definition: { name, summary, facts = {} }, text }) =>
      row([
        code(name),
        summary.replace(/\.$/, ""),
        ...columns.map((column) => facts[column] ?? ""),
        facts["source"] ?? sourcesOf(text),
      ])
    ),
    "",
  ].join("\n");
}

/** The papers of a file's header that arXiv has. */
function sourcesOf(text: string): string {
  const header = /^\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? "";
  const plain = header.replaceAll(/\s*\n \* ?/g, " ");
  const found = [...plain.matchAll(/arXiv (\d{4}\.\d{5})/g)].map(([, id]) => id!);
  return found.length === 0 ? "" : `arXiv ${found[0]}`;
}

/** A definition that several files export is described once. */
const isFirst = (one: Documented, i: number, all: readonly Documented[]): boolean =>
  all.findIndex(({ definition }) => definition === one.definition) === i;

const title = (family: string): string => {
  const words = family.replaceAll("_", " ");
  return words[0]!.toUpperCase() + words.slice(1);
};

function entry({ found, definition, text, peft }: Documented): string {
  const { name, summary, aliases = [], options, cli } = definition;
  const { citation, formula } = headerOf(text);
  const facts = [
    ...aliases.length > 0 ? [`Also called ${aliases.map(code).join(", ")}.`] : [],
    ...cli === undefined ? ["For programs; the command line does not train it by itself."] : [
      `\`graft finetune --method ${name}\`: learning rate ${showNumber(cli.rate)}${
        cli.flags.length === 0 ? "" : `; ${cli.flags.map((flag) => code(`--${flag}`)).join(", ")}`
      }.`,
    ],
    ...peft === undefined ? [] : [`In PEFT folders: ${peft.map(code).join(" or ")}.`],
    `Source: [${found.path}](../../${found.path}).`,
  ];
  const own = Object.entries({ ...options, ...cli?.also }).filter(([option]) => !COMMON.includes(option));
  return [
    `### \`${name}\``,
    "",
    summary,
    "",
    citation,
    ...formula === "" ? [] : ["", "```text", formula, "```"],
    "",
    facts.join(" "),
    ...own.length === 0 ? [] : ["", "| option | default | |", "|---|---|---|", ...own.map(optionRow)],
    "",
  ].join("\n");
}

const code = (text: string): string => `\`${text}\``;

/** "5e-4", "0.01". */
const showNumber = (n: number): string => n < 1e-2 ? n.toExponential() : String(n);

function optionRow([name, option]: readonly [string, Option]): string {
  const standard = option.default === undefined ? "" : code(JSON.stringify(option.default));
  const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll(/\s+/g, " ");
  return `| \`${name}\` | ${cell(standard)} | ${cell(`${option.help}: ${option.what}`)} |`;
}

/** The first paragraph of a file's header, and the formulas that are indented in it. */
function headerOf(text: string): { readonly citation: string; readonly formula: string } {
  const header = /^\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? "";
  const lines = header.split("\n").map((line) => line.replace(/^ \* ?/, "").trimEnd());
  const start = lines.findIndex((line) => line.trim() !== "");
  const end = lines.findIndex((line, i) => i > start && line.trim() === "");
  const paragraph = lines.slice(start, end < 0 ? lines.length : end).map((line) => line.trim()).join(" ");
  const formula = lines.filter((line) => /^ {2,}\S/.test(line)).map((line) => line.slice(2)).join("\n");
  return { citation: paragraph, formula };
}

/**
 * Writes `methods/index.ts` from the files of methods/: every definition that one of them exports, by family, so that no list
 * of methods is kept by hand.
 *
 *     deno task index            writes it
 *     deno task index --check    says whether it is as it should be, in `deno task ok`
 */

const ROOT = new URL("../", import.meta.url);
const FILE = "methods/index.ts";

/** What an export is: a factory with a definition, a definition alone, a gate, a codec of PEFT folders. */
const KINDS: Readonly<Record<string, string>> = {
  DefinedMethod: "factory",
  MethodDefinition: "definition",
  GateDefinition: "gate",
  PeftCodec: "codec",
};

interface Found {
  readonly family: string;
  readonly path: string;
  readonly name: string;
  readonly kind: string;
}

/** The definitions that a file exports, by the declared types of its constants. */
function definitionsIn(family: string, path: string): readonly Found[] {
  const text = Deno.readTextFileSync(new URL(path, ROOT));
  return [...text.matchAll(/^export const (\w+): (\w+)\b/gm)].flatMap(([, name, type]) => {
    const kind = KINDS[type!];
    return kind === undefined ? [] : [{ family, path, name: name!, kind }];
  });
}

function* files(folder: string): Generator<string> {
  const entries = [...Deno.readDirSync(new URL(folder, ROOT))].sort((a, b) => a.name < b.name ? -1 : 1);
  for (const entry of entries) {
    if (entry.isFile && entry.name.endsWith(".ts")) yield `${folder}${entry.name}`;
  }
}

function found(): readonly Found[] {
  const families = [...Deno.readDirSync(new URL("methods/", ROOT))]
    .filter((entry) => entry.isDirectory && !["shared", "peft"].includes(entry.name))
    .map(({ name }) => name).sort();
  return [
    ...families.flatMap((family) =>
      [...files(`methods/${family}/`)].flatMap((path) => definitionsIn(family, path))
    ),
    ...[...files("core/combinators/")].flatMap((path) => definitionsIn("combinators", path)),
  ];
}

/** The text of the index. */
function indexOf(all: readonly Found[]): string {
  const byFile = Map.groupBy(all, ({ path }) => path);
  const from = (path: string): string =>
    path.startsWith("methods/") ? path.replace("methods/", "./") : `../${path}`;
  const imports = [...byFile].map(([path, here]) => {
    const names = here.map(({ name }) => name).sort();
    return `import { ${names.join(", ")} } from "${from(path)}";`;
  });
  const valueOf = ({ name, kind }: Found): string => kind === "factory" ? `${name}.definition` : name;
  const methods = all.filter(({ kind }) => kind === "factory" || kind === "definition");
  const families = [...Map.groupBy(methods, ({ family }) => family)].map(([family, here]) =>
    `  ${family}: [\n${here.map((one) => `    ${valueOf(one)},\n`).join("")}  ],\n`
  );
  const list = (kind: string): string => all.filter((one) => one.kind === kind).map(valueOf).join(", ");
  return `/** Every method, gate and codec. Written by \`deno task index\`; not to be changed by hand. */
import type { GateDefinition, MethodDefinition } from "../core/mod.ts";
import type { AnyPeftCodec } from "./peft/codec.ts";
import { codecOf, hasMapping } from "./peft/mapping.ts";
${imports.join("\n")}

/** Definitions by family: the folder in which the method is. */
export const FAMILIES: Readonly<Record<string, readonly MethodDefinition[]>> = {
${families.join("")}};

/** Every definition. */
export const DEFINITIONS: readonly MethodDefinition[] = Object.values(FAMILIES).flat();

/** Every gate. */
export const GATES: readonly GateDefinition[] = [${list("gate")}];

/** Every codec of PEFT folders. */
export const CODECS: readonly AnyPeftCodec[] = [
  ...DEFINITIONS.filter(hasMapping).map(codecOf),
  ${list("codec")},
];
`;
}

/** The text as \`deno fmt\` has it. */
async function formatted(text: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--config", new URL("deno.json", ROOT).pathname, "--ext", "ts", "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { stdout, success } = await child.output();
  if (!success) throw new Error("deno fmt refused the index");
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) {
  const text = await formatted(indexOf(found()));
  const path = new URL(FILE, ROOT);
  if (!Deno.args.includes("--check")) Deno.writeTextFileSync(path, text);
  else if (Deno.readTextFileSync(path) !== text) {
    console.error(`${FILE} is not that of the files of methods/: run deno task index`);
    Deno.exit(1);
  }
}

/**
 * Writes what follows from the files of methods/, so that no list of methods is kept by hand: `methods/index.ts`, every definition
 * by family with the public names of its file, docs/methods/reference.md, and the tables of the families' pages.
 *
 *     deno task index            writes them
 *     deno task index --check    says whether they are as they should be, in `deno task ok`
 */
import type { MethodDefinition } from "../mod.ts";
import { type Documented, familyTable, type Found, referencePage } from "./method_docs.ts";

const ROOT = new URL("../", import.meta.url);
const FILE = "methods/index.ts";

/** What an export is: a factory with a definition, a definition alone, a gate, a codec or a form of PEFT folders. */
const KINDS: Readonly<Record<string, string>> = {
  DefinedMethod: "factory",
  MethodDefinition: "definition",
  GateDefinition: "gate",
  PeftCodec: "codec",
  PeftForm: "form",
  AdaptersForm: "hub",
};

/** Kinds that are about folders: their files export no methods. */
const FORMS: readonly string[] = ["codec", "form", "hub"];

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
import type { AdaptersForm } from "./adapterhub/form.ts";
import type { PeftForm } from "./peft/form.ts";
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

/** Every form of PEFT folders whose methods stand elsewhere than at layers with matrices. */
export const FORMS: readonly PeftForm[] = [${list("form")}];

/** Every form of AdapterHub's configurations. */
export const HUB_FORMS: readonly AdaptersForm[] = [${list("hub")}];
`;
}

/**
 * The public names of a file: its types, and the functions and constants whose comment has an example; what only other files of
 * the project need has none.
 */
function publicNames(path: string): readonly string[] {
  const text = Deno.readTextFileSync(new URL(path, ROOT));
  const declared =
    /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?export (?:async )?(function|const|class|interface|type) (\w+)/g;
  return [...text.matchAll(declared)].flatMap(([, comment = "", what, name]) => {
    if (what === "interface" || what === "type") return [`type ${name}`];
    return comment.includes("@example") ? [name!] : [];
  });
}

/** The text of the public exports of files with definitions. */
function exportsOf(all: readonly Found[]): string {
  const paths = [...new Set(all.filter(({ kind }) => !FORMS.includes(kind)).map(({ path }) => path))]
    .filter((path) => path.startsWith("methods/"));
  const lines = paths.flatMap((path) => {
    const names = publicNames(path);
    const from = path.replace("methods/", "./");
    return names.length === 0 ? [] : [`export { ${names.join(", ")} } from "${from}";`];
  });
  const head =
    "/** The public names of every method's file. Written by `deno task index`; not to be changed by hand. */";
  return `${head}\n${lines.join("\n")}\n`;
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

/** The definitions as they are now, with what pages say of them. */
async function documentedOf(all: readonly Found[]): Promise<readonly Documented[]> {
  const { CODECS, FORMS } = await import("../methods/index.ts");
  const modules = new Map<string, Readonly<Record<string, unknown>>>();
  for (const { path } of all) modules.set(path, await import(new URL(path, ROOT).href));
  return all.filter(({ kind }) => kind === "factory" || kind === "definition").map(
    (found): Documented => {
      const value = modules.get(found.path)![found.name] as MethodDefinition & {
        readonly definition: MethodDefinition;
      };
      const definition = found.kind === "factory" ? value.definition : value;
      const codec = CODECS.find(({ method }) => method.definition === definition);
      const form = FORMS.find(({ methods, refused }) => !refused && methods.includes(definition));
      const types = codec === undefined ? form?.types : [codec.type];
      return {
        found,
        definition,
        text: Deno.readTextFileSync(new URL(found.path, ROOT)),
        ...types && { peft: types },
      };
    },
  );
}

/** A page with the tables between its markers as they should be. */
function withTables(page: string, documented: readonly Documented[]): string {
  return page.replaceAll(
    /(<!-- methods of (\w+): written by deno task index -->\n)[\s\S]*?(<!-- end of methods -->)/g,
    (_, start: string, family: string, end: string) => `${start}${familyTable(family, documented)}${end}`,
  );
}

/** Writes a file, or says that it is not as it should be. */
function put(file: string, text: string, check: boolean): void {
  const path = new URL(file, ROOT);
  if (!check) return Deno.writeTextFileSync(path, text);
  let now = "";
  try {
    now = Deno.readTextFileSync(path);
  } catch {
    // It is not there.
  }
  if (now === text) return;
  console.error(`${file} is not that of the files of methods/: run deno task index`);
  Deno.exit(1);
}

if (import.meta.main) {
  const all = found();
  const check = Deno.args.includes("--check");
  put(FILE, await formatted(indexOf(all)), check);
  put("methods/exports.ts", await formatted(exportsOf(all)), check);
  const documented = await documentedOf(all);
  put("docs/methods/reference.md", referencePage(documented), check);
  for (const { name } of Deno.readDirSync(new URL("docs/methods/", ROOT))) {
    const page = `docs/methods/${name}`;
    put(page, withTables(Deno.readTextFileSync(new URL(page, ROOT)), documented), check);
  }
}

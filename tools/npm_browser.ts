/**
 * What the npm package is in a page: the field "browser" of its description, by which bundlers (Vite, esbuild, Rollup) put modules of
 * its own in the place of Node's. A page computes, trains and writes; what needs files or processes says so when it is called.
 *
 * @module
 */
import { parse } from "acorn";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A declaration of imports, as far as it is read. */
interface Importing {
  readonly type: string;
  readonly source?: { readonly value: string } | null;
  readonly specifiers?: readonly {
    readonly type: string;
    readonly imported?: { readonly name: string };
  }[];
}

/** Modules that a page lacks, with the names that a text of JavaScript imports of them. */
export function absentIn(code: string): ReadonlyMap<string, readonly string[]> {
  const { body } = parse(code, { ecmaVersion: "latest", sourceType: "module" }) as unknown as {
    readonly body: readonly Importing[];
  };
  const found = body.filter(({ type, source }) =>
    type === "ImportDeclaration" && source?.value.startsWith("node:")
  );
  return new Map(
    [...Map.groupBy(found, ({ source }) => source!.value)].map(([module, all]) => [
      module,
      all.flatMap(({ specifiers = [] }) => specifiers.flatMap(({ imported }) => imported?.name ?? [])),
    ]),
  );
}

/** The module that a page has in the place of one of Node's: functions that throw, and a process without a system. */
export function standIn(module: string, names: readonly string[]): string {
  const own = [...new Set(names)].filter((name) => name !== "default").sort();
  const functions = own.map((name) =>
    `export function ${name}() { throw new Error("Cannot use ${name} of ${module} in a page"); }\n`
  );
  const value = module === "node:process"
    ? 'globalThis.process ?? { env: {}, argv: [], platform: "browser", arch: "" }'
    : `{ ${own.join(", ")} }`;
  return `${functions.join("")}export default ${value};\n`;
}

/** Packages that need Node themselves, and what is imported of them when it is needed. */
const SERVER: readonly (readonly [module: string, names: readonly string[]])[] = [
  ["@huggingface/hub", ["HubApiError", "listFiles"]],
  ["csv-parse", ["parse"]],
  ["node:crypto", ["createHash"]],
  ["srvx/node", ["serve"]],
];

/** Writes a built package's modules for pages, and returns the field "browser" of its description. */
export function writeBrowserModules(folder: string): Readonly<Record<string, string>> {
  const scripts = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".js") && !/^(bin|cli|browser\/absent)\//.test(path)
  );
  const all = scripts.flatMap((path) => [...absentIn(readFileSync(join(folder, path), "utf8"))]);
  const modules = [...Map.groupBy(all, ([module]) => module)].map(([module, uses]) =>
    [module, uses.flatMap(([, names]) => names)] as const
  ).sort(([a], [b]) => a < b ? -1 : 1);
  mkdirSync(join(folder, "browser/absent"), { recursive: true });
  const fileOf = (module: string): string =>
    `./browser/absent/${module.replace(/^node:/, "").replaceAll("/", "_")}.js`;
  for (const [module, names] of [...modules, ...SERVER]) {
    writeFileSync(join(folder, fileOf(module)), standIn(module, names));
  }
  return {
    ...Object.fromEntries(
      [...modules, ...SERVER].map(([module]) => [module, fileOf(module)]),
    ),
    "./platform/worker.js": "./browser/worker.js",
  };
}

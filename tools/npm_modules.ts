/**
 * The npm package's JavaScript: the sources as few modules, which start faster than eight hundred, with nothing in them that a
 * bundler could not leave out again.
 *
 * @module
 */
import { type Node, parse } from "acorn";
import * as esbuild from "esbuild";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What V8 and JavaScriptCore of the supported runtimes know; `using` is written out. */
const TARGET = "es2022";

/** Expressions without an effect, of which every bundler knows so. */
const PLAIN: readonly string[] = [
  "ArrowFunctionExpression",
  "ClassExpression",
  "FunctionExpression",
  "Identifier",
  "Literal",
];

/** A syntax tree by members; acorn's types name each kind of node by itself. */
interface Syntax extends Node {
  readonly [member: string]: unknown;
}

const childrenOf = (node: Syntax): readonly Syntax[] =>
  Object.values(node).flat().filter((value): value is Syntax =>
    typeof value === "object" && value !== null && "type" in value
  );

/** Whether an expression waits, other than in a function in it. */
const waits = (node: Syntax): boolean =>
  node.type === "AwaitExpression" || !/Function/.test(node.type) && childrenOf(node).some(waits);

/** Values of the module's own variables, at its top level. */
const valuesOf = (statement: Syntax): readonly Syntax[] => {
  const declaration = statement.type === "ExportNamedDeclaration" ? statement["declaration"] : statement;
  const { type, declarations } = declaration as Syntax ?? {};
  if (type !== "VariableDeclaration") return [];
  return (declarations as readonly Syntax[]).map(({ init }) => init as Syntax | null).filter((init) =>
    init !== null
  );
};

/**
 * JavaScript in which a bundler can leave out every variable that is not used: package.json says that no module has effects, so
 * that its variables' values have none, and here each of them says so itself.
 */
export function withPureValues(code: string): string {
  const program = parse(code, { ecmaVersion: "latest", sourceType: "module" }) as unknown as Syntax;
  const values = (program["body"] as readonly Syntax[]).flatMap(valuesOf)
    .filter((value) => !PLAIN.includes(value.type) && !waits(value));
  return values.reduceRight(
    (text, { start, end }) =>
      `${text.slice(0, start)}/* @__PURE__ */ (() => (${text.slice(start, end)}))()${text.slice(end)}`,
    code,
  );
}

const PURE: esbuild.Plugin = {
  name: "pure values",
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const { code } = await esbuild.transform(readFileSync(path, "utf8"), {
        loader: "ts",
        target: TARGET,
        sourcefile: path,
        sourcemap: "inline",
      });
      return { contents: withPureValues(code), loader: "js" };
    });
  },
};

/** Kernels as text, of which a map would be a copy. */
const KERNELS = /(^|\/)ops\/wasm\/lib\//;

/** Removes the source maps of modules that hold nothing but kernels. */
function withoutKernelMaps(folder: string, { outputs }: esbuild.Metafile): void {
  for (const [path, { inputs }] of Object.entries(outputs)) {
    const from = Object.keys(inputs);
    if (from.length === 0 || !from.every((input) => KERNELS.test(input))) continue;
    const file = join(folder, path);
    writeFileSync(file, readFileSync(file, "utf8").replace(/\/\/# sourceMappingURL=.*\n?$/, ""));
    rmSync(`${file}.map`);
  }
}

/** Modules at places of their own, since a page has the second where other runtimes have the first. */
const WORKERS: readonly string[] = ["./platform/worker.ts", "./browser/worker.ts"];

/** Writes the modules of `exports` and what they share into a folder, with source maps. */
export async function bundleModules(
  sources: string,
  exports: Readonly<Record<string, string>>,
  to: string,
): Promise<void> {
  const { metafile } = await esbuild.build({
    absWorkingDir: sources,
    entryPoints: Object.fromEntries(
      [...Object.values(exports), ...WORKERS].map((
        file,
      ) => [file.slice(2, -".ts".length), join(sources, file)]),
    ),
    outdir: to,
    chunkNames: "chunks/[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    packages: "external",
    target: TARGET,
    // Nothing is minified: it would unwrap pure values and drop their marks, and renamed identifiers make the maps grow.
    sourcemap: true,
    metafile: true,
    plugins: [PURE],
    logLevel: "warning",
  });
  withoutKernelMaps(sources, metafile);
  await esbuild.stop();
}

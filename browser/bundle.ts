/**
 * One file for browsers: the library, or a program that uses it, with the WASM builds inside. Server-side
 * files and processes are omitted: calling functions that need them throws.
 *
 * @module
 */
import * as esbuild from "esbuild";
import { builtinModules, createRequire } from "node:module";

const root = new URL("../", import.meta.url);
const pathOf = (url: URL): string => decodeURIComponent(url.pathname);

/** Bare names of packages used by the library's browser parts, from deno.json. */
const packages: Readonly<Record<string, string>> = JSON.parse(
  Deno.readTextFileSync(new URL("deno.json", root)),
).imports;

/** Packages that store downloads in files, or read data from files. */
const SERVER: readonly string[] = [
  "@huggingface/hub",
  "csv-parse",
  "hyparquet",
  "hyparquet-compressors",
  "fzstd",
];

/** The replacement of server-side modules: every function throws when called. */
const ABSENT = `module.exports = new Proxy({}, {
  get: (_, name) => name === "__esModule" ? false : () => { throw new Error("Cannot use " + String(name) + " in a browser"); },
});`;

/** What stands for modules that browsers lack. */
export interface BundleOptions {
  /** Files by the name of the module of Node's that each replaces: "node:fs". */
  readonly builtins?: Readonly<Record<string, URL>>;
  /** Files by the path, below the project's folder, of the source that each replaces. */
  readonly sources?: Readonly<Record<string, URL>>;
  /** Packages that are left out in addition: their functions throw when called. */
  readonly without?: readonly string[];
}

/** See the module comment. */
const forBrowsers = ({ builtins = {}, sources = {}, without = [] }: BundleOptions): esbuild.Plugin => ({
  name: "graft",
  setup(build) {
    const absent = [...SERVER, ...without];
    build.onResolve({ filter: /^[@a-z]/ }, ({ path }) => {
      const node = path.startsWith("node:")
        ? path
        : builtinModules.includes(path)
        ? `node:${path}`
        : undefined;
      const own = node === undefined ? undefined : builtins[node];
      if (own !== undefined) return { path: pathOf(own) };
      return node !== undefined || absent.includes(path) ? { path, namespace: "absent" } : undefined;
    });
    build.onLoad({ filter: /.*/, namespace: "absent" }, () => ({ contents: ABSENT, loader: "js" }));
    for (const [from, to] of Object.entries(sources)) {
      const name = from.slice(from.lastIndexOf("/") + 1).replaceAll(".", "\\.");
      build.onResolve({ filter: new RegExp(`/${name}$`) }, ({ path, resolveDir }) => {
        const wanted = pathOf(new URL(path, `file://${resolveDir}/`));
        return wanted === pathOf(new URL(from, root)) ? { path: pathOf(to) } : undefined;
      });
    }
    build.onResolve(
      { filter: /\/platform\/worker\.ts$/ },
      ({ importer }) =>
        importer === pathOf(new URL("ops/wasm/machine.ts", root))
          ? { path: pathOf(new URL("browser/worker.ts", root)) }
          : undefined,
    );
    build.onResolve({ filter: /^@graft\/peft$/ }, () => ({ path: pathOf(new URL("mod.ts", root)) }));
    build.onResolve({ filter: /^[@a-z]/ }, ({ path, importer, kind }) => {
      if (kind === "entry-point") return;
      const known = Object.keys(packages).some((name) => path === name || path.startsWith(`${name}/`));
      // A package's own packages lie in Deno's cache, too.
      return { path: known ? fileOf(path) : createRequire(importer).resolve(path) };
    });
  },
});

/** The file of a package in Deno's cache. */
function fileOf(name: string): string {
  return decodeURIComponent(new URL(import.meta.resolve(name)).pathname);
}

/**
 * Bundles a module.
 *
 * @param entry A path or URL.
 * @param options What stands for modules that browsers lack; default: functions that throw.
 * @returns The text of a module that a `<script type="module">` or a module worker can load.
 */
export async function bundle(entry: string | URL, options: BundleOptions = {}): Promise<string> {
  const { outputFiles } = await esbuild.build({
    entryPoints: [typeof entry === "string" ? entry : pathOf(entry)],
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2024",
    minify: true,
    write: false,
    logLevel: "silent",
    jsx: "automatic",
    jsxImportSource: "preact",
    plugins: [forBrowsers(options)],
  });
  await esbuild.stop();
  return outputFiles[0]!.text;
}

if (import.meta.main) {
  const [entry = pathOf(new URL("mod.ts", root)), output] = Deno.args;
  if (output === undefined) {
    console.error("Usage: deno run -A browser/bundle.ts ENTRY OUTPUT");
    Deno.exit(2);
  }
  const text = await bundle(entry);
  await Deno.writeTextFile(output, text);
  console.log(`${output}: ${(text.length / 1e6).toFixed(2)} MB`);
}

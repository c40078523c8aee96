/** The npm package's description and compiler settings, from deno.json. */

import { NATIVE_PACKAGES } from "../ops/native/kernels.ts";

/** What deno.json says of the package. */
export interface PackageSettings {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, string>>;
  readonly imports: Readonly<Record<string, string>>;
}

/** The name by which a source imports something of a package: "srvx/node" is of "srvx". */
const importsOf = (source: string): readonly string[] =>
  [...source.matchAll(/(?:from|import\()\s*"((?:@[^/"]+\/)?[^/."@][^/":]*)(?:\/[^"]*)?"/g)].map(([, name]) =>
    name!
  );

/** Packages of npm that sources use, with the versions of deno.json. */
export function dependenciesOf(
  { imports }: Pick<PackageSettings, "imports">,
  sources: readonly string[],
): Readonly<Record<string, string>> {
  const used = new Set(sources.flatMap(importsOf));
  return Object.fromEntries(
    Object.entries(imports).filter(([name]) => used.has(name)).map(([name, target]) => {
      const [, version] = /^npm:(?:@[^/]+\/)?[^@/]+@(.+)$/.exec(target) ?? [];
      if (version === undefined) {
        throw new RangeError(`Expected "${name}" to be npm:… with a version but found "${target}"`);
      }
      return [name, version];
    }),
  );
}

/** The platforms' packages of native kernels, of which npm installs the one that fits. */
export const nativePackages = (version: string): Readonly<Record<string, string>> =>
  Object.fromEntries(NATIVE_PACKAGES.map((name) => [name, version]));

/** The package that only who asks for its model installs; an optional peer, so that npm refuses another version. */
const EMBEDDED = "@graft/embedded-model";

/** package.json. */
export function manifestOf(
  settings: PackageSettings,
  sources: readonly string[],
): Readonly<Record<string, unknown>> {
  const { name, version, license, exports } = settings;
  return {
    name,
    version,
    description: "Parameter-efficient fine-tuning of language models in TypeScript",
    license,
    type: "module",
    sideEffects: ["./worker/program.js"], // a worker begins to listen
    engines: { node: ">=22" },
    bin: { graft: "bin/graft.js" },
    exports: {
      ...Object.fromEntries(
        Object.entries(exports).map(([path, file]) => [
          path,
          { types: file.replace(/\.ts$/, ".d.ts"), default: file.replace(/\.ts$/, ".js") },
        ]),
      ),
      "./package.json": "./package.json",
    },
    dependencies: dependenciesOf(settings, sources),
    optionalDependencies: nativePackages(version),
    peerDependencies: { [EMBEDDED]: version },
    peerDependenciesMeta: { [EMBEDDED]: { optional: true } },
  };
}

/** tsconfig.json, which checks the sources and writes declarations. */
export const tsconfigOf = ({ exports }: Pick<PackageSettings, "exports">): unknown => ({
  compilerOptions: {
    target: "es2022",
    lib: ["esnext", "dom", "dom.iterable", "dom.asynciterable"],
    types: ["node", "@webgpu/types"],
    module: "esnext",
    moduleResolution: "bundler",
    rewriteRelativeImportExtensions: true,
    resolveJsonModule: true,
    outDir: "../package",
    rootDir: ".",
    declaration: true,
    emitDeclarationOnly: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: true,
  },
  files: Object.values(exports),
});

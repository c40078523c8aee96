/** Modules of which a bundler can leave out what is not used. */
import assert from "node:assert/strict";
import * as esbuild from "esbuild";
import { withPureValues } from "../../tools/npm_modules.ts";

const MODULE = `import { make } from "./elsewhere.js";
const shared = make({ of: [1, 2].map((x) => x + 1), named: make.name });
export const used = make(shared);
export const unused = make({ ...shared, also: \`\${shared}\` }), other = new Map([[1, shared.of]]);
export const f = (x) => x, text = "text", waited = 1;
export const seen = await make(4);
`;

async function bundled(code: string, entry: string): Promise<string> {
  const files: Readonly<Record<string, string>> = {
    "./elsewhere.js": "export const make = (x) => [x];",
    "./module.js": code,
    "entry": entry,
  };
  const plugin: esbuild.Plugin = {
    name: "in memory",
    setup(build) {
      build.onResolve({ filter: /.*/ }, ({ path }) => ({ path, namespace: "memory", sideEffects: false }));
      build.onLoad({ filter: /.*/ }, ({ path }) => ({ contents: files[path]!, loader: "js" }));
    },
  };
  const { outputFiles } = await esbuild.build({
    entryPoints: ["entry"],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    plugins: [plugin],
  });
  await esbuild.stop();
  return outputFiles[0]!.text;
}

const evaluated = async (code: string): Promise<Readonly<Record<string, unknown>>> =>
  await import(`data:text/javascript,${encodeURIComponent(code)}`);

Deno.test("withPureValues() leaves values as they are", async () => {
  const all = 'export * from "./module.js";';
  const [plain, pure] = [await bundled(MODULE, all), await bundled(withPureValues(MODULE), all)];
  const [of, expected] = [await evaluated(pure), await evaluated(plain)];
  assert.deepEqual(Object.keys(of).sort(), Object.keys(expected).sort());
  for (const name of Object.keys(of).filter((name) => name !== "f")) {
    assert.deepEqual(of[name], expected[name], name);
  }
});

Deno.test("a bundler leaves out what withPureValues() marked and nobody uses, and only then", async () => {
  const one = 'import { used } from "./module.js";\nconsole.log(used);';
  const [plain, pure] = [await bundled(MODULE, one), await bundled(withPureValues(MODULE), one)];
  assert.match(plain, /\bother\b/);
  assert.doesNotMatch(pure, /\b(unused|other|text|waited)\b/);
  assert.match(pure, /\bshared\b/);
  assert.match(pure, /await make\(4\)/, "a module that waits is as it was");
});

/** What would be published: everything an import needs, nothing else, and small. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { temporaryFolder } from "./cli/tiny.ts";
import { deno } from "./support/deno.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url)).replace(/\/$/, "");
const UNITS: Readonly<Record<string, number>> = { B: 1, KB: 1e3, MB: 1e6 };

interface Published {
  readonly path: string;
  readonly bytes: number;
}

/** What a folder's package would have, with sizes. */
async function publishedIn(folder: string): Promise<readonly Published[]> {
  const { code, said } = await deno(["publish", "--dry-run", "--allow-dirty", "--no-check"], folder);
  assert.equal(code, 0, said);
  return [...said.matchAll(/file:\/\/(\S+) \(([\d.]+)(B|KB|MB)\)/g)].map(([, path, size, unit]) => ({
    path: decodeURIComponent(path!).slice(folder.length + 1),
    bytes: Number(size) * UNITS[unit!]!,
  }));
}

/** Bytes of the files, each packed by itself: a little more than in one archive. */
const packedBytes = (folder: string, files: readonly Published[]): number =>
  files.reduce((sum, { path }) => sum + gzipSync(readFileSync(`${folder}/${path}`)).length, 0);

Deno.test("the package holds what an import needs, no tests and no model, and less than 3 MB packed", async () => {
  const files = await publishedIn(ROOT);
  const paths = new Set(files.map(({ path }) => path));
  const needed = [
    "mod.ts",
    "deno.json",
    "README.md",
    "LICENSE",
    "cli/main.ts",
    "ops/wasm/lib/threaded.ts",
  ];
  for (const path of needed) assert.ok(paths.has(path), path);
  const left = [...paths].filter((path) =>
    /^(tests|tools|claims|notebooks|bench|embedded\/model|\.)/.test(path)
  );
  assert.deepEqual(left, []);
  const packed = packedBytes(ROOT, files);
  assert.ok(packed > 1e6 && packed < 3e6, `${(packed / 1e6).toFixed(1)} MB`);
});

Deno.test("the embedded model is a package of its own, of the same version", async () => {
  const folder = `${ROOT}/embedded/model`;
  const paths = (await publishedIn(folder)).map(({ path }) => path);
  const wanted = [
    "config.json",
    "deno.json",
    "mod.ts",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
  ];
  assert.deepEqual(paths.filter((path) => !/^[A-Z]/.test(path)).sort(), wanted);
  const [own, its] = [ROOT, folder].map((folder) => JSON.parse(readFileSync(`${folder}/deno.json`, "utf8")));
  assert.equal(its.version, own.version);
  assert.equal(its.name, "@graft/embedded-model");
});

/** What projects ask of the compiler. Deno gives them the sources, which it checks as it does theirs. */
const OPTIONS: Readonly<Record<string, Readonly<Record<string, boolean>>>> = {
  "the default options": {},
  "strict alone": { strict: true },
  "exact optional properties": { exactOptionalPropertyTypes: true },
  "everything strict": {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noImplicitOverride: true,
    noImplicitReturns: true,
    noFallthroughCasesInSwitch: true,
    noPropertyAccessFromIndexSignature: true,
    noUnusedLocals: true,
    noUnusedParameters: true,
    allowUnreachableCode: false,
    allowUnusedLabels: false,
    verbatimModuleSyntax: true,
    erasableSyntaxOnly: true,
  },
  "everything strict but exact optional properties": {
    exactOptionalPropertyTypes: false,
    noUncheckedIndexedAccess: true,
    noImplicitOverride: true,
    noPropertyAccessFromIndexSignature: true,
  },
};

const EXPORTS: Readonly<Record<string, string>> =
  JSON.parse(Deno.readTextFileSync(`${ROOT}/deno.json`)).exports;

/** A program of a project: every export, and the types of what is used first. */
const PROGRAM = [
  'import { lora, type Method, startTraining } from "@graft/peft";',
  ...Object.keys(EXPORTS).map((path, i) => `import * as room${i} from "@graft/peft${path.slice(1)}";`),
  "export const method: Method = lora({ rank: 4 });",
  "export const start = startTraining;",
  `export const rooms: readonly object[] = [${Object.keys(EXPORTS).map((_, i) => `room${i}`).join(", ")}];`,
].join("\n");

for (const [options, compilerOptions] of Object.entries(OPTIONS)) {
  Deno.test(`a project in another folder type-checks against every export under ${options}`, async () => {
    using folder = temporaryFolder();
    const imports = { "@graft/peft": "jsr:@graft/peft@^0.1.0" };
    Deno.writeTextFileSync(
      `${folder.path}/deno.json`,
      JSON.stringify({ links: [ROOT], imports, compilerOptions }),
    );
    Deno.writeTextFileSync(`${folder.path}/main.ts`, PROGRAM);
    const { code, said } = await deno(["check", "main.ts"], folder.path);
    assert.equal(code, 0, said);
  });
}

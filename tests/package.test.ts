/** What would be published: everything an import needs, nothing else, and under ten megabytes. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "./cli/tiny.ts";
import { deno } from "./support/deno.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url)).replace(/\/$/, "");
const UNITS: Readonly<Record<string, number>> = { B: 1, KB: 1e3, MB: 1e6 };

Deno.test("the package holds what an import needs, no tests, and less than 10 MB", async () => {
  const { code, said } = await deno(["publish", "--dry-run", "--allow-dirty", "--no-check"], ROOT);
  assert.equal(code, 0, said);
  const files = [...said.matchAll(/file:\/\/(\S+) \(([\d.]+)(B|KB|MB)\)/g)].map(([, path, size, unit]) => ({
    path: decodeURIComponent(path!).slice(ROOT.length + 1),
    bytes: Number(size) * UNITS[unit!]!,
  }));
  const paths = new Set(files.map(({ path }) => path));
  const needed = [
    "mod.ts",
    "deno.json",
    "README.md",
    "LICENSE",
    "cli/main.ts",
    "ops/wasm/lib/threaded.ts",
  ];
  for (const path of [...needed, "embedded/model/model.safetensors"]) assert.ok(paths.has(path), path);
  const left = [...paths].filter((path) => /^(tests|tools|claims|notebooks|bench|\.)/.test(path));
  assert.deepEqual(left, []);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  assert.ok(total > 5e6 && total < 10e6, `${(total / 1e6).toFixed(1)} MB`);
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

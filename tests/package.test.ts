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

for (
  const [options, compilerOptions] of Object.entries({
    "the default options": {},
    "exact optional properties": { exactOptionalPropertyTypes: true },
  })
) {
  Deno.test(`a project in another folder type-checks against the sources under ${options}`, async () => {
    using folder = temporaryFolder();
    const imports = { "@graft/peft": "jsr:@graft/peft@^0.1.0" };
    Deno.writeTextFileSync(
      `${folder.path}/deno.json`,
      JSON.stringify({ links: [ROOT], imports, compilerOptions }),
    );
    Deno.writeTextFileSync(
      `${folder.path}/main.ts`,
      'import { lora, type Method, startTraining } from "@graft/peft";\nexport const method: Method = lora({ rank: 4 });\nexport const start = startTraining;\n',
    );
    const { code, said } = await deno(["check", "main.ts"], folder.path);
    assert.equal(code, 0, said);
  });
}

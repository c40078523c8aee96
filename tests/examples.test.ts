/**
 * The example programs: well typed, at most a screen of 50 lines, and run to their end with the permissions that their headers state
 * and no others. Without them they stop with a message that names the flag. A local server stands for the hub.
 */
import assert from "node:assert/strict";
import { cpSync, existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "./cli/tiny.ts";
import { hubOf } from "./docs/hub_server.ts";
import { examplesIn } from "./examples/programs.ts";
import { deno, type Said } from "./support/deno.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url)).replace(/\/$/, "");
const programs = examplesIn(`${ROOT}/examples`);

/** What a program should have said, and left behind. */
const EXPECTED: Readonly<Record<string, { readonly says: RegExp; readonly files?: readonly string[] }>> = {
  classify_with_bert: { says: /accuracy: (0\.9\d*|1)/ },
  custom_model: { says: /lora: \d+ parameters.*\n.*houlsby: .*\n.*prefix-tuning: / },
  gguf_adapter: { says: /llama-cli -m model\.gguf/, files: ["model.gguf", "adapter.gguf", "dora.gguf"] },
  hub: { says: /uploaded \d files to me\/adapter/, files: ["to-upload/adapter_model.safetensors"] },
  hybrid: { says: /DoRA below, adapters above: .*stays beside/ },
  merge_two_adapters: { says: /side by side: error 0;/, files: ["merged/model.safetensors"] },
  new_method: { says: /it merges, though nobody wrote how: true\n.*saved and loaded: rank-one/ },
  own_loss: { says: /focal, step 20: loss .*\n(.*\n)?dpo, step 20: loss 0\.[0-6]/ },
  per_row_adapters: { says: /base: the likeliest next token/ },
  quantize_and_compare: { says: /nf4_double +\S+ MB +loss/ },
  resume: { says: /the same bits as 4 steps at once/, files: ["run.safetensors"] },
  summarise_with_t5: { says: /step 8: loss/ },
  tune_your_data: { says: /step 4: loss/, files: ["my-adapter/adapter_config.json"] },
};

const ARGUMENTS: Readonly<Record<string, readonly string[]>> = { hub: ["org/small", "me/adapter"] };

const CONFIG = ["--no-lock", "--config", `${ROOT}/deno.json`];

function run(
  name: string,
  flags: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
): Promise<Said> {
  const program = [`${ROOT}/examples/${name}.ts`, ...ARGUMENTS[name] ?? []];
  return deno(["run", "--no-prompt", "--no-check", ...CONFIG, ...flags, ...program], cwd, env);
}

Deno.test("the examples are a dozen programs of at most 50 lines each", () => {
  assert.deepEqual(programs.map(({ name }) => name), Object.keys(EXPECTED));
  for (const { name, text } of programs) {
    const lines = text.trimEnd().split("\n").length;
    assert.ok(lines <= 50, `${name} has ${lines} lines`);
  }
});

Deno.test("the examples are well typed", async () => {
  const files = programs.map(({ name }) => `examples/${name}.ts`);
  const { code, said } = await deno(["check", "--no-lock", ...files], ROOT);
  assert.equal(code, 0, said);
});

for (const { name, flags } of programs) {
  Deno.test(`examples/${name}.ts runs with the permissions that it states`, async () => {
    using folder = temporaryFolder();
    await using hub = hubOf(`${ROOT}/embedded/model`);
    cpSync(`${ROOT}/embedded/model`, `${folder.path}/embedded/model`, { recursive: true });
    cpSync(`${ROOT}/embedded/handwritten.jsonl`, `${folder.path}/embedded/handwritten.jsonl`);
    const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: `${folder.path}/cache`, HF_TOKEN: "hf_local" };
    const { code, said } = await run(name, flags, folder.path, env);
    assert.equal(code, 0, said);
    const { says, files = [] } = EXPECTED[name]!;
    assert.match(said, says);
    for (const file of files) assert.ok(existsSync(`${folder.path}/${file}`), `${file} was not written`);
    if (name === "hub") {
      const sent = hub.committed.get("me/adapter/adapter_model.safetensors");
      assert.deepEqual(sent && [...sent], [
        ...readFileSync(`${folder.path}/to-upload/adapter_model.safetensors`),
      ]);
    }
  });
}

Deno.test("a program without its permission stops with a message that names the flag", async () => {
  using folder = temporaryFolder();
  for (const { name, flags } of programs.filter(({ flags }) => flags.length > 0)) {
    const { code, said } = await run(name, [], folder.path);
    assert.notEqual(code, 0, name);
    const named = /--allow-[a-z]+/.exec(said)?.[0];
    assert.ok(named !== undefined && flags.includes(named), `${name} said: ${said}`);
  }
});

Deno.test("importing the library and computing need no permission", async () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/plain.ts`;
  const modules = Object.keys(JSON.parse(readFileSync(`${ROOT}/deno.json`, "utf8")).exports)
    // Programs, which export nothing.
    .filter((name) => name !== "./cli" && name !== "./worker/program");
  const imports = modules.map((name, i) => `import * as m${i} from "@graft/peft${name.slice(1)}";`);
  Deno.writeTextFileSync(
    path,
    `${imports.join("\n")}
const backend = await m0.wasm({ threads: 2 });
const x = m0.tensor([[1, 2], [3, 4]], { backend });
console.log(...await m0.read(x), [${
      modules.map((_, i) => `m${i}`).join(", ")
    }].every((m) => Object.keys(m).length > 0));
backend.close();
`,
  );
  const { code, said } = await deno(["run", "--no-prompt", "--no-check", ...CONFIG, path], folder.path);
  assert.equal(code, 0, said);
  assert.equal(said, "1 2 3 4 true\n");
});

/** AdapterHub's compositions from relative folders, and after a part of one could not be loaded. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { dispose, lookup, read, type Tensor } from "../../../core/mod.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { loadModel } from "../../../io/load_model.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { inFolder } from "../../support/folder.ts";
import { GOLDEN } from "../../support/golden.ts";
import { baseOf, hubModel } from "./cases.ts";

const CONFIG = fileURLToPath(new URL("../../../deno.json", import.meta.url));

/** A copy of a golden folder, two levels deep. */
function copied(kind: string, to: string): void {
  const from = `${GOLDEN}adapter_hub_folders/${kind}`;
  Deno.mkdirSync(to);
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (!isDirectory) {
      Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
      continue;
    }
    Deno.mkdirSync(`${to}/${name}`);
    for (const file of Deno.readDirSync(`${from}/${name}`)) {
      Deno.copyFileSync(`${from}/${name}/${file.name}`, `${to}/${name}/${file.name}`);
    }
  }
}

Deno.test("loadAdapter() finds a fusion in a relative folder whose name begins its own", async () => {
  const cwd = Deno.makeTempDirSync();
  try {
    // The fusion is called "a,b".
    copied("bert_text_fusion", `${cwd}/a`);
    const model = await loadModel(hubModel("bert_text"), { backend: reference() });
    const adapter = await loadAdapter(`${cwd}/a`, model);
    const expected = JSON.stringify(adapter.method.config);
    dispose(adapter.params);
    model.dispose();
    // Its own process, since the working directory is the whole process's.
    const at = (path: string) => JSON.stringify(import.meta.resolve(path));
    const program = `import { loadAdapter } from ${at("../../../io/load_adapter.ts")};
      import { loadModel } from ${at("../../../io/load_model.ts")};
      import { reference } from ${at("../../../ops/reference/mod.ts")};
      const model = await loadModel(${JSON.stringify(hubModel("bert_text"))}, { backend: reference() });
      console.log(JSON.stringify((await loadAdapter("a", model)).method.config));`;
    const url = `data:text/typescript,${encodeURIComponent(program)}`;
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--ext=ts", "--config", CONFIG, url],
      cwd,
      env: { NO_COLOR: "1" },
    }).output();
    const said = new TextDecoder();
    assert.equal(said.decode(stdout).trim(), expected, said.decode(stderr));
  } finally {
    Deno.removeSync(cwd, { recursive: true });
  }
});

/** The folder of the setup, what is taken out of it, and what its loading then says. */
const BROKEN: readonly (readonly [kind: string, missing: string, message: RegExp])[] = [
  ["bert_text_batch_split", "b/adapter.safetensors", /it has no adapter\.safetensors/],
  ["bert_text_stack", "b/adapter.safetensors", /it has no adapter\.safetensors/],
  ["bert_text_fusion", "a,b/model_adapter_fusion.safetensors", /it has no model_adapter_fusion\.safetensors/],
];

for (const [kind, missing, message] of BROKEN) {
  Deno.test(`loadAdapter() leaves nothing of ${kind} without ${missing}`, async () => {
    const folder = Deno.makeTempDirSync();
    try {
      copied(kind, `${folder}/setup`);
      Deno.removeSync(`${folder}/setup/${missing}`);
      await assertNoLeak(async () => {
        const model = await loadModel(hubModel(baseOf(kind)), { backend: reference() });
        await assert.rejects(loadAdapter(`${folder}/setup`, model), message);
        model.dispose();
      });
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

Deno.test("loadAdapter() leaves nothing of a stack whose last adapter is missing behind a fusion", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    copied("bert_text_fusion", `${folder}/setup`);
    const path = `${folder}/setup/adapter_setup.json`;
    const { adapter_setup: fuse } = JSON.parse(Deno.readTextFileSync(path));
    const children = [fuse, { type: "single", children: ["c"] }];
    Deno.writeTextFileSync(path, JSON.stringify({ adapter_setup: { type: "Stack", children } }));
    await assertNoLeak(async () => {
      const model = await loadModel(hubModel("bert_text"), { backend: reference() });
      await assert.rejects(loadAdapter(`${folder}/setup`, model), /c\/adapter_config\.json/);
      model.dispose();
    });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("loadAdapter() gives a fusion whose temperature falls the one that it begins with", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    copied("bert_text_fusion", `${folder}/setup`);
    const path = `${folder}/setup/a,b/adapter_fusion_config.json`;
    const config = JSON.parse(Deno.readTextFileSync(path));
    Deno.writeTextFileSync(
      path,
      JSON.stringify({ ...config, config: { ...config.config, temperature: true } }),
    );
    await assertNoLeak(async () => {
      const model = await loadModel(hubModel("bert_text"), { backend: reference() });
      const { params, method } = await loadAdapter(`${folder}/setup`, model);
      assert.deepEqual([...await read(lookup(params, "frozen.temperature") as Tensor)], [50]);
      assert.deepEqual(method.config["temperature"], { from: 50, steps: 1000 });
      dispose(params);
      model.dispose();
    });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("loadAdapter() refuses setups that cannot be, and leaves nothing behind", () =>
  inFolder(async (folder) => {
    copied("bert_text_parallel", `${folder}/setup`);
    const path = `${folder}/setup/adapter_setup.json`;
    const single = (name: string) => ({ type: "single", children: [name] });
    const [a, b] = [single("a"), single("b")];
    const stack = { type: "Stack", children: [a, b] };
    const cases: readonly (readonly [unknown, RegExp])[] = [
      [{ type: "Parallel", children: [a, { type: "Stack", children: [b, a] }] }, /"a" stands at two places/],
      [{ type: "Parallel", children: [] }, /its Parallel has no children/],
      [{ type: "Parallel" }, /must have a "type" and "children"/],
      [{ type: "Ring", children: [a, b] }, /it has a "Ring"; known are .* and Fuse/],
      [{ type: "Fuse", children: [stack] }, /a Stack inside a Fuse is not supported/],
      [{ type: "Parallel", children: [a, single("c")] }, /c\/adapter_config\.json/],
    ];
    await assertNoLeak(async () => {
      const model = await loadModel(hubModel("bert_text"), { backend: reference() });
      for (const [setup, message] of cases) {
        Deno.writeTextFileSync(path, JSON.stringify({ adapter_setup: setup }));
        await assert.rejects(loadAdapter(`${folder}/setup`, model), message);
      }
      model.dispose();
    });
  }));

Deno.test("loadAdapter() refuses a stack of LoRAs on one layer, though only one of them has a gate", () =>
  inFolder(async (folder) => {
    copied("bert_text_average_lora", `${folder}/setup`);
    const children = ["a", "b"].map((name) => ({ type: "single", children: [name] }));
    Deno.writeTextFileSync(
      `${folder}/setup/adapter_setup.json`,
      JSON.stringify({ adapter_setup: { type: "Stack", children } }),
    );
    await assertNoLeak(async () => {
      const model = await loadModel(hubModel("bert_text"), { backend: reference() });
      await assert.rejects(
        loadAdapter(`${folder}/setup`, model),
        /"a" and "b" both update "bert\.encoder\.layer\.0\.attention\.self\.query", where the library feeds/,
      );
      model.dispose();
    });
  }));

/** Changes fields of an adapter's configuration. */
function rewired(folder: string, fields: Readonly<Record<string, unknown>>): void {
  const path = `${folder}/adapter_config.json`;
  const saved = JSON.parse(Deno.readTextFileSync(path));
  Deno.writeTextFileSync(path, JSON.stringify({ ...saved, config: { ...saved.config, ...fields } }));
}

Deno.test("loadAdapter() refuses original_ln_after false under a gate, and of all but the last of a stack", () =>
  inFolder((folder) =>
    assertNoLeak(async () => {
      const model = await loadModel(hubModel("llama"), { backend: reference() });
      // The gate multiplies the branch alone, not what the block leaves out of its residual.
      copied("llama_gated_bottleneck", `${folder}/gated`);
      rewired(`${folder}/gated`, { original_ln_after: false });
      await assert.rejects(
        loadAdapter(`${folder}/gated`, model),
        /a gate on a branch whose norm or residual/,
      );
      copied("llama_stack", `${folder}/stack`);
      rewired(`${folder}/stack/a`, { original_ln_after: false });
      await assert.rejects(
        loadAdapter(`${folder}/stack`, model),
        /"a" has original_ln_after false, which the library follows for the last alone/,
      );
      copied("llama_stack", `${folder}/last`);
      rewired(`${folder}/last/b`, { original_ln_after: false });
      dispose((await loadAdapter(`${folder}/last`, model)).params);
      model.dispose();
    })
  ));

/**
 * Folders that an adapter's own files name: X-LoRA's experts, the adapters, fusions and heads of AdapterHub's setups, and the
 * shards of a checkpoint. What is not in the folder itself is not read unless that is asked for, and no folder holds itself.
 */
import assert from "node:assert/strict";
import { relative } from "node:path";
import { adapt, type Adapter, dispose, forward, graft, type Model, read } from "../../core/mod.ts";
import { openSafetensorsIndex } from "../../formats/safetensors.ts";
import { loadAdapter, type LoadAdapterOptions } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { compose } from "../../core/combinators/compose.ts";
import { adapterFusion, pfeiffer } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { GOLDEN } from "../support/golden.ts";
import { temporaryFolder } from "../cli/tiny.ts";
import { hubModel } from "./adapterhub/cases.ts";

const XLORA = `${GOLDEN}peft_prompt_folders/xlora`;

function copyFolder(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (isDirectory) copyFolder(`${from}/${name}`, `${to}/${name}`);
    else Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

/** The golden X-LoRA, its experts below `experts` of the temporary folder and its config naming them by `paths`. */
function xloraAt(folder: string, experts: string, paths: Readonly<Record<string, unknown>>): string {
  const root = `${folder}/router`;
  copyFolder(XLORA, root);
  const moved = `${folder}/${experts}`;
  Deno.mkdirSync(moved.slice(0, moved.lastIndexOf("/")), { recursive: true });
  Deno.renameSync(`${root}/experts`, moved);
  nameExperts(root, paths);
  return root;
}

function nameExperts(root: string, adapters: Readonly<Record<string, unknown>>): void {
  const path = `${root}/adapter_config.json`;
  const config = JSON.parse(Deno.readTextFileSync(path));
  Deno.writeTextFileSync(path, JSON.stringify({ ...config, adapters }));
}

const base = () => loadModel(`${GOLDEN}llama_lora/base`, { backend: reference() });

async function logitsOf(model: Model, adapter: Adapter): Promise<Float32Array> {
  const { logits } = forward(graft(model, adapter), { inputIds: [[1, 5, 9, 3]] });
  return await read(logits) as Float32Array;
}

/** Loading must end at once, whether it works or not. */
async function soon(loading: Promise<Adapter>): Promise<Adapter> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("still loading after 5 seconds")), 5000);
  });
  try {
    return await Promise.race([loading, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function refused(
  root: string,
  message: RegExp,
  options: LoadAdapterOptions = {},
): Promise<void> {
  const model = await base();
  await assert.rejects(soon(loadAdapter(root, model, options)), (error: unknown) => {
    assert.ok(error instanceof RangeError, `${error}`);
    assert.match(error.message, message);
    return true;
  });
  model.dispose();
}

/** It loads, and computes what the golden folder does. */
async function loads(root: string, options: LoadAdapterOptions = {}): Promise<void> {
  const model = await base();
  const [whole, found] = [await loadAdapter(XLORA, model), await soon(loadAdapter(root, model, options))];
  assert.deepEqual(await logitsOf(model, found), await logitsOf(model, whole));
  dispose([whole.params, found.params]);
  model.dispose();
}

Deno.test("experts that a config names inside the adapter's folder load", async () => {
  using folder = temporaryFolder();
  await loads(xloraAt(folder.path, "router/parts", { 0: "parts/0", 1: "./parts/1/" }));
});

for (
  const [what, path] of Object.entries({
    "the empty path": "",
    "the folder itself": ".",
    "the folder itself, twice": ".",
    "a folder above": "..",
    "a way out and back in": "../router",
    "a way through a folder": "parts/../../parts/0",
    "a way through a folder that stays inside": "parts/../parts/0",
    "nothing, above": "../nowhere",
  })
) {
  Deno.test(`an X-LoRA whose expert is ${what} is refused at once`, async () => {
    using folder = temporaryFolder();
    const root = xloraAt(folder.path, "router/parts", { 0: path, 1: "parts/1" });
    await refused(root, /expert "0"/);
  });
}

Deno.test("experts outside the folder load only when asked, whichever way they are named", async () => {
  using folder = temporaryFolder();
  const outside = `${folder.path}/elsewhere`;
  const root = xloraAt(folder.path, "elsewhere", {});
  for (
    const paths of [
      { 0: `${outside}/0`, 1: `${outside}/1` },
      { 0: "../elsewhere/0", 1: "../elsewhere/1" },
    ]
  ) {
    nameExperts(root, paths);
    await refused(root, /expert "0".*elsewhere\/0.*outsideFolders/s);
    await loads(root, { outsideFolders: true });
  }
  // From where the program runs, as PEFT names them.
  const seen = relative(Deno.cwd(), outside);
  nameExperts(root, { 0: `${seen}/0`, 1: `${seen}/1` });
  await refused(root, /expert "0".*elsewhere\/0.*outsideFolders/s);
  await loads(root, { outsideFolders: true });
});

Deno.test("an absolute path is refused unless asked for, even where it names a folder inside", async () => {
  using folder = temporaryFolder();
  const root = xloraAt(folder.path, "router/parts", {});
  nameExperts(root, { 0: `${root}/parts/0`, 1: `${root}/parts/1` });
  await refused(root, /expert "0".*parts\/0" is an absolute path.*outsideFolders/s);
  await loads(root, { outsideFolders: true });
});

Deno.test("a symbolic link that leads outside counts as outside, beside the router and in the config", async () => {
  using folder = temporaryFolder();
  const root = xloraAt(folder.path, "elsewhere", { 0: "link/0", 1: "link/1" });
  Deno.symlinkSync(`${folder.path}/elsewhere`, `${root}/link`);
  await refused(root, /expert "0".*link.*outsideFolders/s);
  await loads(root, { outsideFolders: true });
  Deno.removeSync(`${root}/link`);
  Deno.symlinkSync(`${folder.path}/elsewhere`, `${root}/experts`);
  await refused(root, /expert "0".*outsideFolders/s);
  await loads(root, { outsideFolders: true });
  // One that stays inside is a folder as any.
  Deno.removeSync(`${root}/experts`);
  copyFolder(`${folder.path}/elsewhere`, `${root}/parts`);
  Deno.symlinkSync(`${root}/parts`, `${root}/link`);
  await loads(root);
});

Deno.test("X-LoRA folders that hold themselves, or each other, are refused even when outside folders are asked for", async () => {
  using folder = temporaryFolder();
  const root = xloraAt(folder.path, "router/parts", { 0: ".", 1: "parts/1" });
  const asked = { outsideFolders: true };
  for (const path of ["", ".", root, "../router"]) {
    nameExperts(root, { 0: path, 1: "parts/1" });
    await refused(root, path === "" ? /expert "0"/ : /expert "0".*holds itself/s, asked);
  }
  const other = `${folder.path}/other`;
  copyFolder(root, other);
  nameExperts(root, { 0: "../other", 1: "parts/1" });
  nameExperts(other, { 0: "../router", 1: "parts/1" });
  await refused(root, /expert "0".*holds itself/s, asked);
  // By a link, and so never by the same path twice.
  Deno.symlinkSync(root, `${root}/again`);
  nameExperts(root, { 0: "again", 1: "parts/1" });
  await refused(root, /expert "0"/);
  await refused(root, /expert "0".*holds itself/s, asked);
});

Deno.test("a missing expert is named by the path in the config, and experts must be texts by name", async () => {
  using folder = temporaryFolder();
  const root = xloraAt(folder.path, "router/parts", { 0: "parts/0", 1: "parts/none" });
  await refused(root, /expert "1".*"parts\/none"/s);
  for (const path of [7, null, ["parts/0"]]) {
    nameExperts(root, { 0: path });
    const model = await base();
    await assert.rejects(soon(loadAdapter(root, model)), /"adapters".*expert "0"/s);
    model.dispose();
  }
  // A name is no path either.
  copyFolder(`${root}/parts/0`, `${folder.path}/spy`);
  nameExperts(root, { "../../spy": "parts/none" });
  await refused(root, /"parts\/none"/);
});

Deno.test("folders that a setup or a fusion of AdapterHub names must lie beside its files", async () => {
  using folder = temporaryFolder();
  const model = await loadModel(hubModel("bert_text"), { backend: reference() });
  const one = adapt(model, pfeiffer({ reduction: 4 }), 1);
  const two = adapt(model, pfeiffer({ reduction: 4 }), 2);
  const stack = {
    method: compose({ a: one.method, b: two.method }),
    params: { a: one.params, b: two.params },
  };
  const fusion = adapt(model, adapterFusion({ adapters: { a: one, b: two } }), 3);
  for (const [kind, adapter] of Object.entries({ stack, fusion })) {
    const root = `${folder.path}/${kind}`;
    await saveAdapter(root, adapter, model, { format: "adapters" });
    dispose((await loadAdapter(root, model)).params);
    Deno.renameSync(`${root}/a`, `${folder.path}/${kind}-a`);
    Deno.symlinkSync(`${folder.path}/${kind}-a`, `${root}/a`);
    await assert.rejects(loadAdapter(root, model), /"a".*outsideFolders/s);
    dispose((await loadAdapter(root, model, { outsideFolders: true })).params);
    Deno.removeSync(`${root}/a`);
    Deno.renameSync(`${folder.path}/${kind}-a`, `${root}/a`);
    const path = `${root}/adapter_setup.json`;
    const setup = Deno.readTextFileSync(path);
    copyFolder(`${root}/a`, `${folder.path}/spy`);
    for (const name of ["../spy", "", ".", "..", `${folder.path}/spy`, "a/../../spy"]) {
      Deno.writeTextFileSync(path, setup.replaceAll('"a"', JSON.stringify(name)));
      await assert.rejects(
        loadAdapter(root, model),
        (error: Error) => error instanceof RangeError && error.message.includes(JSON.stringify(name)),
        name,
      );
    }
    const heads = setup.replace('"head_setup": null', '"head_setup": "../spy"');
    Deno.writeTextFileSync(path, heads);
    await assert.rejects(loadAdapter(root, model), /"\.\.\/spy"/);
  }
  model.dispose();
});

Deno.test("an index names files of its own folder only", () => {
  using folder = temporaryFolder();
  Deno.copyFileSync(`${GOLDEN}llama_lora/base/model.safetensors`, `${folder.path}/spy.safetensors`);
  Deno.mkdirSync(`${folder.path}/model`);
  const path = `${folder.path}/model/model.safetensors.index.json`;
  for (
    const shard of [
      "../spy.safetensors",
      `${folder.path}/spy.safetensors`,
      "",
      "..",
      "a/../../spy.safetensors",
    ]
  ) {
    Deno.writeTextFileSync(path, JSON.stringify({ weight_map: { w: shard } }));
    assert.throws(() => openSafetensorsIndex(path), /no file name in its folder/);
  }
});

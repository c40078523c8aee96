/** Output folders of runs: nothing that was there is lost. */
import assert from "node:assert/strict";
import { openRunFolder } from "../../io/run_folder.ts";

/** A folder with files, named by path. */
function folderWith(files: readonly string[]): { readonly path: string } & Disposable {
  const root = Deno.makeTempDirSync();
  const path = `${root}/out`;
  for (const name of files) {
    const full = `${path}/${name}`;
    Deno.mkdirSync(full.slice(0, full.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(full, name);
  }
  return { path, [Symbol.dispose]: () => Deno.removeSync(root, { recursive: true }) };
}

const STATE = "checkpoint/state.safetensors";

Deno.test("openRunFolder() refuses to begin in a folder with something in it, and creates nothing itself", () => {
  using used = folderWith(["anything.txt"]);
  assert.throws(() => openRunFolder(used.path, "new"), /out: it exists; .*--resume.*--overwrite/);
  assert.throws(() => openRunFolder(used.path, "resume"), /has no checkpoint\/state\.safetensors/);
  assert.throws(() => openRunFolder(used.path, "overwrite"), /no result of an earlier run/);
  using free = folderWith([]);
  for (const mode of ["new", "resume", "overwrite", "resume overwrite"] as const) {
    const folder = openRunFolder(`${free.path}/`, mode);
    assert.equal(folder.path, free.path);
    assert.equal(folder.continues, false);
    assert.throws(() => Deno.statSync(free.path), Deno.errors.NotFound);
  }
  Deno.mkdirSync(free.path);
  assert.equal(openRunFolder(free.path, "new").path, free.path, "an empty folder is nothing");
});

Deno.test("openRunFolder() continues where a state is, also when a kill left a run before its first one", () => {
  using run = folderWith([STATE, "metrics.jsonl", "checkpoint/state.safetensors.partial-0"]);
  const folder = openRunFolder(run.path, "resume");
  assert.equal(folder.continues, true);
  folder.create();
  assert.throws(() => Deno.statSync(`${run.path}/checkpoint/state.safetensors.partial-0`));
  assert.equal(Deno.readTextFileSync(folder.state), STATE);
  using early = folderWith(["metrics.jsonl", "checkpoint/best.safetensors"]);
  assert.equal(openRunFolder(early.path, "resume").continues, false);
});

Deno.test("openRunFolder() works beside a folder that is overwritten, and swaps them at the end", () => {
  using run = folderWith(["adapter_config.json", "old.txt"]);
  const folder = openRunFolder(run.path, "overwrite");
  folder.create();
  Deno.writeTextFileSync(folder.metrics, "new");
  assert.equal(Deno.readTextFileSync(`${run.path}/old.txt`), "old.txt");
  assert.throws(() => openRunFolder(run.path, "overwrite"), /out\.new holds an interrupted run/);
  const again = openRunFolder(run.path, "resume overwrite");
  assert.equal(again.path, folder.path);
  again.finish();
  assert.equal(Deno.readTextFileSync(`${run.path}/metrics.jsonl`), "new");
  const parent = run.path.slice(0, run.path.lastIndexOf("/"));
  assert.deepEqual([...Deno.readDirSync(parent)].map(({ name }) => name), ["out"]);
  assert.throws(() => Deno.statSync(`${run.path}/old.txt`));
});

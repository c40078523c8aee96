/**
 * A model of SmolLM2-135M's shape from a safetensors file of 538 MB: "load" as `loadModel` does; "read" all
 * its bytes into memory; "pass" them through one buffer of 8 MiB without keeping them. Arguments: {backend,
 * threads, what}.
 */
import { freshModel, loadModel, saveModel } from "../../mod.ts";
import { openBackend } from "./open.ts";
import { servePeer, VERSIONS } from "./serve.ts";
import { SMOLLM2 } from "./smollm2.ts";

const { backend: where, threads = 2, what = "load" } = JSON.parse(Deno.args[0] ?? "{}");
const backend = await openBackend({ backend: where, threads });
const folder = await Deno.makeTempDir({ prefix: "graft-bench-" });
const model = freshModel(SMOLLM2, { backend, key: 0 });
await saveModel(folder, model);
model.dispose();
const file = `${folder}/model.safetensors`;
const room = new Uint8Array(2 ** 23);

async function work(): Promise<void> {
  switch (what) {
    case "load":
      (await loadModel(folder, { backend })).dispose();
      break;
    case "read":
      await Deno.readFile(file);
      break;
    case "pass": {
      using open = Deno.openSync(file);
      while (open.readSync(room) !== null);
    }
  }
}

await servePeer(VERSIONS, work);
await Deno.remove(folder, { recursive: true });

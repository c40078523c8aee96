/**
 * A model of SmolLM2-135M's shape from a safetensors file of 538 MB: "load" as `loadModel` does, "read" its bytes alone, 8 MiB at
 * a time. Arguments: {backend, threads, what}.
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
const room = new Uint8Array(2 ** 23);

await servePeer(VERSIONS, async () => {
  if (what === "load") {
    (await loadModel(folder, { backend })).dispose();
    return;
  }
  using file = Deno.openSync(`${folder}/model.safetensors`);
  while (file.readSync(room) !== null);
});
await Deno.remove(folder, { recursive: true });

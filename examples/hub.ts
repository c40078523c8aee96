/**
 * From the Hugging Face Hub and back: downloads a model, adapts it, uploads the adapter.
 *
 *   deno run --allow-read --allow-write --allow-env --allow-net examples/hub.ts [MODEL_ID] [YOUR_NAME/REPOSITORY]
 *
 * HF_TOKEN is a token with write access; without one nothing is uploaded. HF_ENDPOINT names another server.
 */
import { createRepo, uploadFiles } from "@huggingface/hub";
import { adapt, ia3, loadModel, saveAdapter, wasm } from "@graft/peft";

const [id = "HuggingFaceTB/SmolLM2-135M-Instruct", target] = Deno.args;
const backend = await wasm();
const model = await loadModel(id, { backend }); // downloaded once, resumed after interruption, verified by hash
const adapter = adapt(model, ia3()); // train it as in tune_your_data.ts
await saveAdapter("to-upload", adapter, model, { card: { licence: "apache-2.0" } });

const accessToken = Deno.env.get("HF_TOKEN");
if (target === undefined || accessToken === undefined) {
  console.log("saved to-upload; name a repository and set HF_TOKEN to upload it");
} else {
  const hubUrl = Deno.env.get("HF_ENDPOINT") ?? "https://huggingface.co";
  const repo = { type: "model", name: target } as const;
  await createRepo({ repo, accessToken, hubUrl }).catch((error) => {
    if (error.statusCode !== 409) throw error; // 409: it exists
  });
  const files = [...Deno.readDirSync("to-upload")].map(({ name }) => ({
    path: name,
    content: new Blob([Deno.readFileSync(`to-upload/${name}`)]),
  }));
  await uploadFiles({ repo, accessToken, hubUrl, files, commitTitle: "An adapter", useXet: false });
  console.log(`uploaded ${files.length} files to ${target}`);
}
backend.close();

/**
 * The library in a page of headless Chromium: its bundle computes there, with threads and without, and says what a page
 * forbids. A test of its own step, since it needs Chromium: `deno task test:browser`.
 */
import assert from "node:assert/strict";
import { bundle } from "../../browser/bundle.ts";
import { generate, memory } from "../../core/mod.ts";
import { type ModelFiles, modelFromFiles } from "../../browser/load.ts";
import { loadModel } from "../../io/load_model.ts";
import { wasm } from "../../ops/wasm/mod.ts";
import { chromium } from "./chromium.ts";

const FOLDER = new URL("../../embedded/model/", import.meta.url);
const text = (name: string): unknown => JSON.parse(Deno.readTextFileSync(new URL(name, FOLDER)));
const files = (): ModelFiles => ({
  config: text("config.json") as ModelFiles["config"],
  tokenizer: text("tokenizer.json"),
  tokenizerConfig: text("tokenizer_config.json"),
  weights: Deno.readFileSync(new URL("model.safetensors", FOLDER)),
});

Deno.test("a model from fetched files writes what the model of its folder writes", async () => {
  const backend = await wasm({ threads: 1 });
  const [fetched, loaded] = [modelFromFiles(files(), backend), await loadModel(FOLDER.pathname, { backend })];
  const texts = await Promise.all(
    [fetched, loaded].map((m) => generate(m, "Customer: Hello", { maxNewTokens: 20 })),
  );
  assert.equal(texts[0], texts[1]);
  const weights = Deno.readFileSync(new URL("model.safetensors", FOLDER)).subarray(0, 9000);
  assert.throws(() => modelFromFiles({ ...files(), weights }, backend), /model\.safetensors/);
  const other = { ...(text("config.json") as ModelFiles["config"]), num_hidden_layers: 3 };
  assert.throws(
    () => modelFromFiles({ ...files(), config: other }, backend),
    /a tensor "model\.layers\.3\..*" that no place of llama takes/,
  );
  fetched.dispose();
  loaded.dispose();
  assert.equal(memory(backend).live, 0);
  backend.close();
});

Deno.test("the whole library bundles, and its bundle computes in a page", async () => {
  const library = await bundle(new URL("../../mod.ts", import.meta.url));
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) =>
      request.url.endsWith(".js")
        ? new Response(library, { headers: { "content-type": "text/javascript" } })
        : new Response("<title>page</title>", { headers: { "content-type": "text/html" } }),
  );
  await using browser = await chromium();
  const page = await browser.page();
  const { port } = server.addr as Deno.NetAddr;
  await page.open(`http://127.0.0.1:${port}/`);
  const found = await page.evaluate(`(async () => {
    const { adapt, count, forward, freshModel, graft, lora, read, wasm, loadModel } = await import("/graft.js");
    const backend = await wasm();
    const config = { model_type: "llama", vocab_size: 32, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 1,
      num_attention_heads: 2, num_key_value_heads: 1, tie_word_embeddings: true };
    const model = freshModel(config, { backend, key: 0 });
    const adapter = adapt(model, lora({ rank: 4 }));
    const { logits } = forward(graft(model, adapter), { inputIds: [[1, 2, 3]] });
    const numbers = await read(logits);
    const refused = await loadModel("folder", { backend }).catch((error) => error.message);
    return { trainable: count(model, adapter).trainable, first: numbers[0], length: numbers.length, refused };
  })()`) as {
    readonly trainable: number;
    readonly first: number;
    readonly length: number;
    readonly refused: string;
  };
  await server.shutdown();
  assert.deepEqual([found.trainable, found.length], [4 * (16 + 16) + 4 * (16 + 8), 96]);
  assert.ok(Number.isFinite(found.first));
  assert.match(found.refused, /\S/);
});

Deno.test("a page whose content security policy forbids workers is told so, and computes on one thread", async () => {
  const library = await bundle(new URL("../../mod.ts", import.meta.url));
  const headers = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "content-security-policy": "worker-src 'none'",
  };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) =>
      request.url.endsWith(".js")
        ? new Response(library, { headers: { ...headers, "content-type": "text/javascript" } })
        : new Response("<title>page</title>", { headers: { ...headers, "content-type": "text/html" } }),
  );
  await using browser = await chromium();
  const page = await browser.page();
  await page.open(`http://127.0.0.1:${(server.addr as Deno.NetAddr).port}/`);
  const [message, numbers] = await page.evaluate<readonly [string, readonly number[]]>(`(async () => {
    const { read, tensor, wasm } = await import("/graft.js");
    const message = await wasm({ threads: 2 }).then(() => "started", (error) => error.message);
    return [message, [...await read(tensor([1, 2], { backend: await wasm({ threads: 1 }) }))]];
  })()`);
  await server.shutdown();
  assert.match(
    message,
    /^Cannot start 1 workers: 0 came up \(the page's content security policy forbids workers/,
  );
  assert.match(message, /try \{ threads: 1 \}$/);
  assert.deepEqual(numbers, [1, 2]);
});

/**
 * The bundle trains the embedded model in a worker of headless Chromium as it trains in Deno, with threads and without, and
 * the page stays responsive. A test of its own step, since it needs Chromium: `deno task test:browser`.
 */
import assert from "node:assert/strict";
import { bundle } from "../../browser/bundle.ts";
import { pageHandler, recordsOf } from "../../browser/serve.ts";
import { type PageResult, type PageRun, type PageStep, trainPage } from "../../browser/train.ts";
import { generate, memory } from "../../core/mod.ts";
import { type ModelFiles, modelFromFiles } from "../../browser/load.ts";
import { loadModel } from "../../io/load_model.ts";
import { wasm } from "../../ops/wasm/mod.ts";
import { type Browser, chromium, type Page } from "./chromium.ts";

const FOLDER = new URL("../../embedded/model/", import.meta.url);
const text = (name: string): unknown => JSON.parse(Deno.readTextFileSync(new URL(name, FOLDER)));
const files = (): ModelFiles => ({
  config: text("config.json") as ModelFiles["config"],
  tokenizer: text("tokenizer.json"),
  tokenizerConfig: text("tokenizer_config.json"),
  weights: Deno.readFileSync(new URL("model.safetensors", FOLDER)),
});
const RUN = { rank: 4, learningRate: 0.01, steps: 20, batchSize: 4, maxLength: 192, seed: 1 };
const RECORDS = 48;

/** What `train()` of the page gives. */
interface Trained {
  readonly result: PageResult;
  readonly seconds: number;
  readonly steps: readonly PageStep[];
  readonly gaps: { readonly frames: readonly number[]; readonly timers: readonly number[] };
  readonly isolated: boolean;
}

/** Runs on a page that is served with or without the headers. */
async function onPage<T>(browser: Browser, isolated: boolean, f: (page: Page) => Promise<T>): Promise<T> {
  const handler = await pageHandler({ isolated, records: RECORDS });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, handler);
  try {
    const page = await browser.page();
    const { port } = server.addr as Deno.NetAddr;
    const options = new URLSearchParams(Object.entries(RUN).map(([name, value]) => [name, String(value)]));
    await page.open(`http://127.0.0.1:${port}/?${options}`);
    return await f(page);
  } finally {
    await server.shutdown();
  }
}

/** The share of the numbers' q-quantile. */
function quantile(numbers: readonly number[], q: number): number {
  const rising = [...numbers].sort((a, b) => a - b);
  return rising[Math.min(rising.length - 1, Math.floor(q * rising.length))]!;
}

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

Deno.test("a worker in Chromium trains as Deno does, while the page stays responsive", async () => {
  const backend = await wasm({ threads: 1 });
  const run: PageRun = { files: files(), records: recordsOf(RECORDS), ...RUN };
  const expected = await trainPage(run, backend, () => {});
  assert.equal(memory(backend).live, 0);
  backend.close();
  const mean = (losses: readonly number[]): number => losses.reduce((a, b) => a + b, 0) / losses.length;
  const [early, late] = [mean(expected.losses.slice(0, 5)), mean(expected.losses.slice(-5))];
  assert.ok(late < early - 0.5, `the loss falls from ${early} to ${late}`);
  await using browser = await chromium();
  for (const isolated of [true, false]) {
    const found = await onPage(browser, isolated, (page) => page.evaluate<Trained>("train()"));
    assert.equal(found.isolated, isolated);
    assert.equal(found.steps.length, RUN.steps);
    // The same kernels on one machine: bits may differ where the engines fuse differently, 1e-4 covers 20 steps of that.
    for (const [i, loss] of expected.losses.entries()) {
      assert.ok(
        Math.abs(found.result.losses[i]! - loss) < 1e-4,
        `step ${i + 1}: ${found.result.losses[i]} and ${loss}`,
      );
    }
    assert.equal(found.result.after, expected.after);
    assert.equal(found.result.trainable, expected.trainable);
    const { frames, timers } = found.gaps;
    const worst = Math.max(...timers, ...frames);
    const shown = (numbers: readonly number[]): string =>
      `${quantile(numbers, 0.5).toFixed(0)} ms in the middle, ${
        quantile(numbers, 0.95).toFixed(0)
      } ms at 95 %`;
    console.log(
      `${isolated ? "threads" : "one thread"}: ${found.seconds.toFixed(1)} s; frames ${shown(frames)}; ` +
        `timers of 10 ms ${shown(timers)}; longest gap ${worst.toFixed(0)} ms`,
    );
    // A page that computed itself would stand still for a step at a time: as many gaps as steps, each as long as one.
    const step = quantile(found.steps.map(({ milliseconds }) => milliseconds), 0.5);
    assert.ok(
      quantile(timers, 0.95) < Math.max(50, step / 2),
      `timers: ${shown(timers)}; a step takes ${step} ms`,
    );
    assert.ok(frames.length > found.seconds * 10, `${frames.length} frames in ${found.seconds} s`);
  }
});

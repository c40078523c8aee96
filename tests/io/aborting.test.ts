/** Loading and downloads that a signal ends: what was read is freed, and no file is left that looks whole. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { adapt, dispose, memory } from "../../core/mod.ts";
import { download, type DownloadOptions } from "../../io/hub/download.ts";
import { downloadHeaders } from "../../io/hub/headers.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { lora } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { temporaryFolder } from "../cli/tiny.ts";
import { GOLDEN } from "../support/golden.ts";

const BASE = `${GOLDEN}llama_lora/base`;

Deno.test("loadModel() that is aborted between two weights frees those that it had read", async () => {
  const backend = reference();
  const controller = new AbortController();
  const loading = loadModel(BASE, { backend, signal: controller.signal });
  while (memory(backend).live === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  const part = memory(backend).live;
  controller.abort(new Error("enough"));
  await assert.rejects(loading, { message: "enough" });
  assert.equal(memory(backend).live, 0);
  const model = await loadModel(BASE, { backend, signal: new AbortController().signal });
  assert.ok(part < memory(backend).live, "it was aborted before the end");
  model.dispose();
  assert.equal(memory(backend).live, 0);
});

Deno.test("a signal that was aborted before loads nothing, and looks at no path", async () => {
  const backend = reference();
  const signal = AbortSignal.abort();
  await assert.rejects(loadModel("nowhere", { backend, signal }), { name: "AbortError" });
  const model = await loadModel(BASE, { backend });
  const before = memory(backend);
  await assert.rejects(loadAdapter("nowhere", model, { signal }), { name: "AbortError" });
  await assert.rejects(download("no id", { signal }), { name: "AbortError" });
  assert.deepEqual(memory(backend), before);
  model.dispose();
});

Deno.test("loadAdapter() that is aborted while it loads frees what it had read", async () => {
  using folder = temporaryFolder();
  const model = await loadModel(BASE, { backend: reference() });
  const saved = adapt(model, lora({ rank: 2 }));
  await saveAdapter(folder.path, saved, model);
  dispose(saved.params);
  const live = memory(model.backend).live;
  const controller = new AbortController();
  const loading = loadAdapter(folder.path, model, { signal: controller.signal });
  let most = live;
  const watch = setInterval(() => {
    most = Math.max(most, memory(model.backend).live);
    if (most > live) controller.abort();
  }, 0);
  await assert.rejects(loading, { name: "AbortError" });
  clearInterval(watch);
  assert.ok(most > live, "it was aborted after it had read");
  assert.equal(memory(model.backend).live, live);
  model.dispose();
});

const WEIGHTS = Uint8Array.from({ length: 400_000 }, (_, i) => (i * 7 + (i >> 8)) & 255);
const sha256 = createHash("sha256").update(WEIGHTS).digest("hex");
const HALF = WEIGHTS.length / 2;

/** A hub whose one large file comes to the half, and then waits for ever, until `whole` is set. */
async function withHub(
  work: (
    options: DownloadOptions,
    hub: { whole: boolean; busy: boolean; asked: number; left: number },
  ) => Promise<void>,
): Promise<void> {
  using cache = temporaryFolder();
  const hub = { whole: false, busy: false, asked: 0, left: 0 };
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    hub.asked++;
    const { pathname } = new URL(request.url);
    if (pathname.includes("/tree/")) {
      const size = WEIGHTS.length;
      return Response.json([
        { type: "file", path: "config.json", size: 2, oid: "c0" },
        {
          type: "file",
          path: "model.safetensors",
          size,
          oid: "a0",
          lfs: { oid: sha256, size, pointerSize: 1 },
        },
      ]);
    }
    if (pathname.endsWith("config.json")) return new Response("{}");
    if (hub.busy) return new Response("busy", { status: 503 });
    const from = Number(/^bytes=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
    const body = hub.whole ? WEIGHTS.slice(from) : new ReadableStream({
      start: (controller) => controller.enqueue(WEIGHTS.slice(from, HALF)),
      cancel: () => void hub.left++,
    });
    const range = `bytes ${from}-${WEIGHTS.length - 1}/${WEIGHTS.length}`;
    return new Response(body, from > 0 ? { status: 206, headers: { "content-range": range } } : {});
  });
  try {
    await work({ cache: cache.path, endpoint: `http://127.0.0.1:${server.addr.port}` }, hub);
  } finally {
    await server.shutdown();
  }
}

Deno.test("a download that is aborted leaves a part and no whole file, lets the server go, and goes on later", async () => {
  await withHub(async (options, hub) => {
    const controller = new AbortController();
    const loading = download("org/small", {
      ...options,
      signal: controller.signal,
      onProgress: ({ file, received }) => {
        if (file === "model.safetensors" && received === HALF) controller.abort();
      },
    });
    await assert.rejects(loading, { name: "AbortError" });
    const folder = `${options.cache}/org--small@main`;
    assert.ok(!existsSync(`${folder}/model.safetensors`));
    const [part] = readdirSync(folder).filter((name) => name.endsWith(".part"));
    assert.equal(statSync(`${folder}/${part}`).size, HALF);
    const { files, complete } = JSON.parse(readFileSync(`${folder}/.graft.json`, "utf8"));
    assert.deepEqual([Object.keys(files), complete], [["config.json"], []]);
    while (hub.left === 0) await new Promise((resolve) => setTimeout(resolve, 1)); // the connection is closed

    hub.whole = true;
    const first: number[] = [];
    await download("org/small", {
      ...options,
      onProgress: ({ file, received }) => void (file === "model.safetensors" && first.push(received)),
    });
    assert.equal(first[0], HALF, "it went on from the half");
    assert.deepEqual(new Uint8Array(readFileSync(`${folder}/model.safetensors`)), WEIGHTS);
  });
});

Deno.test("an abort while a busy server is waited for ends the wait, and nothing is asked again", async () => {
  await withHub(async (options, hub) => {
    hub.busy = true;
    const began = performance.now();
    const signal = AbortSignal.timeout(1500); // in the fourth wait, which lasts from 1400 to 3000
    await assert.rejects(download("org/small", { ...options, signal, attempts: 8 }), {
      name: "TimeoutError",
    });
    assert.ok(performance.now() - began < 2700, "the wait went on");
    const { asked } = hub;
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(hub.asked, asked);
  });
});

Deno.test("models, adapters and headers pass the signal to their downloads", async () => {
  for (
    const load of [
      (options: DownloadOptions) => downloadHeaders("org/small", options),
      (options: DownloadOptions) => download("org/small", { ...options, files: ["model.safetensors"] }),
    ]
  ) {
    await withHub(async (options, hub) => {
      hub.busy = true; // for ever
      await assert.rejects(load({ ...options, signal: AbortSignal.timeout(100), attempts: 99 }), {
        name: "TimeoutError",
      });
    });
  }
  await withHub(async ({ cache, endpoint }) => {
    const before = [Deno.env.get("HF_ENDPOINT"), Deno.env.get("HF_HOME")];
    Deno.env.set("HF_ENDPOINT", endpoint!);
    Deno.env.set("HF_HOME", cache!);
    try {
      const backend = reference();
      const signal = () => AbortSignal.timeout(100);
      await assert.rejects(loadModel("org/small", { backend, signal: signal() }), { name: "TimeoutError" });
      const model = await loadModel(BASE, { backend });
      await assert.rejects(loadAdapter("org/small", model, { signal: signal() }), { name: "TimeoutError" });
      model.dispose();
    } finally {
      for (const [i, name] of ["HF_ENDPOINT", "HF_HOME"].entries()) {
        if (before[i] === undefined) Deno.env.delete(name);
        else Deno.env.set(name, before[i]);
      }
    }
  });
});

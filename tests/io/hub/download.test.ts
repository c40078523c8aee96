/** Downloads from a server on the loopback interface that answers at the hub's addresses. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { weightLeaves } from "../../../core/mod.ts";
import { localFolder } from "../../../io/adapter_folder.ts";
import { download, type DownloadProgress, hubId } from "../../../io/hub/download.ts";
import { neededFiles } from "../../../io/hub/files.ts";
import { loadModel } from "../../../io/load_model.ts";
import { localHeaders, localPath } from "../../../io/local_path.ts";
import { checkpointShapes } from "../../../io/model_shapes.ts";
import { saveModel } from "../../../io/save_model.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { GOLDEN } from "../../support/golden.ts";

const CONFIG = fileURLToPath(new URL("../../../deno.json", import.meta.url));
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const weights = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7 + (i >> 8)) & 255);
const text = (value: string) => new TextEncoder().encode(value);

interface Hub {
  readonly endpoint: string;
  readonly cache: string;
  /** Path and Range header of every file request. */
  readonly requests: (readonly [string, string | null])[];
  /** The repository's files; tests change them. */
  readonly content: Map<string, Uint8Array>;
  /** What to do in place of answering a file request. */
  intercept: ((path: string, request: Request) => Response | undefined) | undefined;
  /** Sizes that the list states falsely. */
  readonly sizes: Map<string, number>;
}

/** Runs a test against a hub of one repository, org/small, whose large files are LFS files. */
async function withHub(run: (hub: Hub) => Promise<void>): Promise<void> {
  const cache = mkdtempSync(join(tmpdir(), "graft-hub-"));
  const files = new Map([
    ["README.md", text("# small")],
    ["config.json", text('{"model_type":"llama"}')],
    ["tokenizer.json", text("{}")],
    ["pytorch_model.bin", text("pickle")],
    ["model.safetensors", weights],
    ["model.fp16.safetensors", weights],
    ["onnx/model.onnx", text("onnx")],
  ]);
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => answer(request),
  );
  const hub: Hub = {
    endpoint: `http://127.0.0.1:${server.addr.port}`,
    cache,
    requests: [],
    content: files,
    intercept: undefined,
    sizes: new Map(),
  };
  const answer = (request: Request): Response => {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/api/models/org/private/tree/main") {
      if (request.headers.get("authorization") === "Bearer hf_good") return Response.json([]);
      return Response.json({ error: "Invalid username or password." }, { status: 401 });
    }
    const tree = /^\/api\/models\/org\/small\/tree\/(main|v1|refs%2Fpr%2F1)$/.exec(pathname);
    if (tree !== null) {
      const entries = [...files].map(([path, bytes]) => {
        const size = hub.sizes.get(path) ?? bytes.length;
        const oid = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
        const lfs = bytes.length > 1000 ? { lfs: { oid: sha256(bytes), size, pointerSize: 134 } } : {};
        return { type: "file", path, size, oid, ...lfs };
      });
      // Two pages, as the hub does for long lists.
      if (searchParams.has("cursor")) return Response.json(entries.slice(3));
      const next = `${hub.endpoint}${pathname}?cursor=x`;
      return Response.json(entries.slice(0, 3), { headers: { link: `<${next}>; rel="next"` } });
    }
    const file = /^\/org\/small\/resolve\/(?:main|v1|refs%2Fpr%2F1)\/(.+)$/.exec(pathname)?.[1];
    const bytes = file === undefined ? undefined : files.get(file);
    if (file === undefined || bytes === undefined) {
      return Response.json({ error: "Not found" }, { status: 404 });
    }
    const range = request.headers.get("range");
    hub.requests.push([file, range]);
    return hub.intercept?.(file, request) ?? serve(bytes, range);
  };
  try {
    await run(hub);
  } finally {
    await server.shutdown();
    rmSync(cache, { recursive: true });
  }
}

function serve(bytes: Uint8Array, range: string | null): Response {
  const from = Number(/^bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
  if (range === null) return new Response(bytes.slice());
  const headers = { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
  return new Response(bytes.slice(from), { status: 206, headers });
}

/** Sends the first bytes and breaks the connection. */
function breaking(bytes: Uint8Array): Response {
  let sent = false;
  return new Response(
    new ReadableStream({
      async pull(controller) {
        if (sent) {
          // Time for the bytes to arrive before the connection is torn down.
          await new Promise((resolve) => setTimeout(resolve, 50));
          controller.error(new Error("cut"));
        } else controller.enqueue(bytes.slice());
        sent = true;
      },
    }),
  );
}

Deno.test("download() brings the needed files of a repository into a folder of its own", () =>
  withHub(async (hub) => {
    const folder = await download("org/small", hub);
    assert.equal(folder, join(hub.cache, "org--small@main"));
    assert.deepEqual(readdirSync(folder).sort(), [
      ".graft.json",
      "config.json",
      "model.safetensors",
      "tokenizer.json",
    ]);
    assert.deepEqual(new Uint8Array(readFileSync(join(folder, "model.safetensors"))), weights);
  }));

Deno.test("download() fetches again only what changed", () =>
  withHub(async (hub) => {
    await download("org/small", hub);
    hub.requests.length = 0;
    await download("org/small", hub);
    assert.deepEqual(hub.requests, []);
    hub.content.set("config.json", text('{"model_type":"gpt_2"}'));
    const folder = await download("org/small", hub);
    assert.deepEqual(hub.requests, [["config.json", null]]);
    assert.equal(readFileSync(join(folder, "config.json"), "utf8"), '{"model_type":"gpt_2"}');
  }));

for (const way of ["breaks", "ends early"]) {
  Deno.test(`download() goes on where a connection that ${way} stopped`, () =>
    withHub(async (hub) => {
      const half = weights.slice(0, 90_000);
      hub.intercept = (path) =>
        path !== "model.safetensors" ? undefined : way === "breaks" ? breaking(half) : new Response(half);
      await assert.rejects(download("org/small", { ...hub, attempts: 1 }), /call again to go on from there/);
      const folder = join(hub.cache, "org--small@main");
      const part = `model.safetensors.${sha256(weights).slice(0, 12)}.part`;
      assert.equal(existsSync(join(folder, "model.safetensors")), false);
      assert.deepEqual(new Uint8Array(readFileSync(join(folder, part))), half);

      hub.intercept = undefined;
      hub.requests.length = 0;
      const seen: DownloadProgress[] = [];
      await download("org/small", { ...hub, onProgress: (p) => seen.push(p) });
      assert.deepEqual(hub.requests, [["model.safetensors", "bytes=90000-"], ["tokenizer.json", null]]);
      assert.deepEqual(new Uint8Array(readFileSync(join(folder, "model.safetensors"))), weights);
      assert.equal(existsSync(join(folder, part)), false);
      const own = seen.filter((p) => p.file === "model.safetensors");
      assert.deepEqual([own[0]!.received, own.at(-1)!.received], [90_000, 200_000]);
      assert.deepEqual([own[0]!.size, own[0]!.index, own[0]!.count], [200_000, 1, 3]);
    }));
}

Deno.test("download() tries a file again within a call", () =>
  withHub(async (hub) => {
    const answers = [() => new Response("busy", { status: 503 }), () => new Response(weights.slice(0, 1000))];
    hub.intercept = (path) => path === "model.safetensors" ? answers.shift()?.() : undefined;
    await download("org/small", hub);
    const ranges = hub.requests.filter(([path]) => path === "model.safetensors").map(([, range]) => range);
    assert.deepEqual(ranges, [null, null, "bytes=1000-"]);
  }));

Deno.test("download() starts over when the server knows no ranges or answers with others", () =>
  withHub(async (hub) => {
    const folder = join(hub.cache, "org--small@main");
    const answers = [
      () => new Response(weights.slice(0, 1000)),
      () => new Response("", { status: 416 }),
      () => new Response(weights.slice(0, 500)),
      () =>
        new Response(weights.slice(), { status: 206, headers: { "content-range": "bytes 0-199999/200000" } }),
      () => new Response(weights.slice(0, 700)),
      () => new Response(weights.slice()),
    ];
    hub.intercept = (path) => path === "model.safetensors" ? answers.shift()!() : undefined;
    // One attempt per call, without a wait.
    for (let call = 1; call < 6; call++) {
      await assert.rejects(download("org/small", { ...hub, attempts: 1 }), /call again to go on from there/);
    }
    await download("org/small", { ...hub, attempts: 1 });
    assert.equal(answers.length, 0);
    assert.deepEqual(new Uint8Array(readFileSync(join(folder, "model.safetensors"))), weights);
  }));

Deno.test("download() leaves a part of another version alone", () =>
  withHub(async (hub) => {
    hub.intercept = (path) => path === "model.safetensors" ? new Response(weights.slice(0, 5000)) : undefined;
    await assert.rejects(download("org/small", { ...hub, attempts: 1 }));
    hub.intercept = undefined;
    const other = weights.map((b) => b ^ 1);
    hub.content.set("model.safetensors", other);
    const folder = await download("org/small", hub);
    assert.deepEqual(new Uint8Array(readFileSync(join(folder, "model.safetensors"))), other);
  }));

Deno.test("download() refuses a file of the wrong size or hash", () =>
  withHub(async (hub) => {
    const folder = join(hub.cache, "org--small@main");
    hub.sizes.set("config.json", 10);
    await assert.rejects(download("org/small", hub), {
      name: "RangeError",
      message: /config\.json to hold 10 bytes/,
    });
    hub.sizes.set("config.json", 500);
    await assert.rejects(download("org/small", { ...hub, attempts: 1 }), /ended after 22 of 500 bytes/);
    hub.sizes.clear();
    hub.intercept = (path) =>
      path === "model.safetensors" ? new Response(weights.map((b) => b ^ 1)) : undefined;
    await assert.rejects(download("org/small", hub), { name: "RangeError", message: /SHA-256/ });
    assert.equal(existsSync(join(folder, "model.safetensors")), false);
    hub.intercept = undefined;
    await download("org/small", hub);
  }));

Deno.test({
  name: "download() names the file that a full disk cannot take",
  ignore: Deno.build.os !== "linux", // the others have no device that is always full
  fn: () =>
    withHub(async (hub) => {
      const part = join(
        hub.cache,
        "org--small@main",
        `model.safetensors.${sha256(weights).slice(0, 12)}.part`,
      );
      mkdirSync(join(hub.cache, "org--small@main"));
      symlinkSync("/dev/full", part);
      await assert.rejects(
        download("org/small", hub),
        (error: Error) =>
          error.message.startsWith(`Cannot write ${part}: `) && /No space left/.test(error.message),
      );
      rmSync(part);
      await download("org/small", hub);
    }),
});

Deno.test("download() says what to do about 401 and 404", () =>
  withHub(async (hub) => {
    await assert.rejects(
      download("org/private", hub),
      /the hub answered 401; it is private, gated .* set HF_TOKEN/,
    );
    await assert.rejects(download("org/private", { ...hub, token: "hf_good" }), /but found no weights/);
    await assert.rejects(download("org/none", hub), /the hub answered 404; there is no such repository/);
    hub.intercept = () => Response.json({}, { status: 403 });
    await assert.rejects(download("org/small", hub), /resolve\/main\/config.json: the hub answered 403/);
    await assert.rejects(download("small", hub), SyntaxError);
  }));

Deno.test("download() sends the token to the hub but not to where the hub redirects", () =>
  withHub(async (hub) => {
    const seen: (string | null)[] = [];
    const storage = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
      seen.push(request.headers.get("authorization"));
      return serve(weights, request.headers.get("range"));
    });
    hub.intercept = (path, request) => {
      seen.push(request.headers.get("authorization"));
      return path !== "model.safetensors"
        ? undefined
        : Response.redirect(`http://127.0.0.1:${storage.addr.port}/signed`, 302);
    };
    await download("org/small", { ...hub, token: "hf_secret", files: ["model.safetensors"] });
    await storage.shutdown();
    assert.deepEqual(seen, ["Bearer hf_secret", null]);
  }));

Deno.test("download() takes a revision from the id or the options, and files by pattern", () =>
  withHub(async (hub) => {
    const folder = await download("org/small@v1", { ...hub, files: ["*.json", "onnx/*"] });
    assert.equal(folder, join(hub.cache, "org--small@v1"));
    assert.deepEqual(readdirSync(folder).sort(), [".graft.json", "config.json", "onnx", "tokenizer.json"]);
    assert.equal(
      await download("org/small", { ...hub, revision: "refs/pr/1", files: ["config.json"] }),
      join(hub.cache, "org--small@refs%2Fpr%2F1"),
    );
    await assert.rejects(download("org/small", { ...hub, files: ["none*"] }), /has no such file/);
  }));

Deno.test("download() gives the earlier copy when the hub cannot be reached", async () => {
  let gone = { endpoint: "", cache: "" };
  const kept = mkdtempSync(join(tmpdir(), "graft-hub-"));
  await withHub(async (hub) => {
    gone = { endpoint: hub.endpoint, cache: kept };
    await download("org/small", gone);
  });
  assert.equal(await download("org/small", gone), join(kept, "org--small@main"));
  await assert.rejects(download("org/small", { ...gone, files: ["README.md"] }), /Cannot reach http/);
  await assert.rejects(download("org/other", gone), /Cannot reach http/);
  rmSync(kept, { recursive: true });
});

Deno.test("download() reads HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE", () =>
  withHub(async (hub) => {
    const tokens: (string | null)[] = [];
    hub.intercept = (_, request) => {
      tokens.push(request.headers.get("authorization"));
      return undefined;
    };
    // Its own process, since other tests share this one's environment.
    const program = `import { download } from ${
      JSON.stringify(import.meta.resolve("../../../io/hub/download.ts"))
    };
      try { console.log(await download("org/small")); } catch (error) { console.log(error.message); }`;
    const run = async (env: Record<string, string>) => {
      const { stdout } = await new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "-A",
          "--no-check",
          "--ext=ts",
          "--config",
          CONFIG,
          "data:text/typescript," + encodeURIComponent(program),
        ],
        env: { HF_HOME: hub.cache, HF_ENDPOINT: hub.endpoint, HF_TOKEN: "hf_env", ...env },
      }).output();
      return new TextDecoder().decode(stdout).trim();
    };
    assert.match(await run({ HF_HUB_OFFLINE: "1" }), /HF_HUB_OFFLINE is set and .* holds no complete copy/);
    assert.equal(await run({}), join(hub.cache, "graft", "org--small@main"));
    assert.deepEqual(tokens, ["Bearer hf_env", "Bearer hf_env", "Bearer hf_env"]);
    const offline = await run({ HF_HUB_OFFLINE: "1", HF_ENDPOINT: "http://127.0.0.1:1" });
    assert.equal(offline, join(hub.cache, "graft", "org--small@main"));
  }));

Deno.test("download() fetches again when its record is damaged", () =>
  withHub(async (hub) => {
    const folder = await download("org/small", hub);
    writeFileSync(join(folder, ".graft.json"), '{"files":');
    hub.requests.length = 0;
    await download("org/small", hub);
    assert.equal(hub.requests.length, 3);
  }));

Deno.test("hubId() tells ids from paths", () => {
  assert.deepEqual(hubId("org/name"), { name: "org/name" });
  assert.deepEqual(hubId("org/na.me-1@refs/pr/1"), { name: "org/na.me-1", revision: "refs/pr/1" });
  for (
    const path of ["name", "./org/name", "../name", "/org/name", "a/b/c", "org/..", "org/name@", "org/a@../b"]
  ) {
    assert.equal(hubId(path), undefined, path);
  }
});

Deno.test("neededFiles() picks weights once and never pickled ones", () => {
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const index = "model.safetensors.index.json";
  assert.deepEqual(
    neededFiles("x", [...shards, index, "consolidated.safetensors", "merges.txt", "a.bin"]),
    ["merges.txt", ...shards, index],
  );
  const adapter = ["adapter_config.json", "adapter_model.safetensors"];
  assert.deepEqual(neededFiles("x", [...adapter, "checkpoint-1/adapter_model.safetensors"]), adapter);
  assert.deepEqual(neededFiles("x", ["a.Q4_0.gguf", "config.json"]), ["a.Q4_0.gguf", "config.json"]);
  assert.throws(() => neededFiles("x", ["a.gguf", "b.gguf"]), /found a.gguf, b.gguf; say which in { files }/);
  assert.throws(
    () => neededFiles("x", ["pytorch_model.bin"]),
    /safetensors or one GGUF file but found pytorch/,
  );
  assert.throws(() => neededFiles("x", ["a.bin"], ["a.bin"]), /pickled files can run code/);
  for (const path of ["../a.json", "/a.json", "a/../../b", "a\\b", "a//b", "C:x"]) {
    assert.throws(() => neededFiles("x", [path], [path]), /leads out of the folder/, path);
  }
});

/** A repository of one GGUF model and its config, as people publish them. */
function ofGguf(hub: Hub, bytes: Uint8Array): void {
  hub.content.clear();
  hub.content.set("README.md", text("# gguf"));
  hub.content.set("model-q8.gguf", bytes);
}

Deno.test("localPath() of a repository with one GGUF file is that file", () =>
  withHub(async (hub) => {
    const bytes = readFileSync(`${GOLDEN}formats/llama.gguf`);
    ofGguf(hub, bytes);
    const path = await localPath("org/small", hub);
    assert.equal(path, join(hub.cache, "org--small@main", "model-q8.gguf"));
    assert.deepEqual(readFileSync(path), bytes);
  }));

Deno.test("localHeaders() gives the shapes of a repository without fetching its weights", () =>
  withHub(async (hub) => {
    const golden = `${GOLDEN}models/llama`;
    const whole = new Uint8Array(readFileSync(`${golden}/model.safetensors`));
    hub.content.set("config.json", new Uint8Array(readFileSync(`${golden}/config.json`)));
    hub.content.set("model.safetensors", whole);
    const folder = await localHeaders("org/small", hub);
    const header = 8 + Number(new DataView(whole.buffer).getBigUint64(0, true));
    assert.deepEqual(hub.requests.filter(([path]) => path === "model.safetensors"), [
      ["model.safetensors", "bytes=0-7"],
      ["model.safetensors", `bytes=0-${header - 1}`],
    ]);
    const shapesAt = (path: string) => {
      const model = checkpointShapes(path);
      const found = weightLeaves(model.weights).map(([name, { shape, dtype }]) => [name, shape, dtype]);
      model.dispose();
      return found;
    };
    assert.deepEqual(shapesAt(folder), shapesAt(golden));
    // The holes are no download: the weights come when they are asked for, and then serve for shapes, too.
    const full = await localPath("org/small", hub);
    assert.notEqual(full, folder);
    assert.deepEqual(new Uint8Array(readFileSync(join(full, "model.safetensors"))), whole);
    assert.equal(await localHeaders("org/small", hub), full);
  }));

Deno.test("localHeaders() reads as much of a GGUF file as its header takes, whatever the server sends", () =>
  withHub(async (hub) => {
    const bytes = new Uint8Array(readFileSync(`${GOLDEN}formats/llama.gguf`));
    ofGguf(hub, bytes);
    hub.intercept = (path) => path.endsWith(".gguf") ? new Response(bytes.slice()) : undefined;
    const path = await localHeaders("org/small", hub);
    assert.equal(Deno.statSync(path).size, bytes.length);
    checkpointShapes(path).dispose();
  }));

for (const status of [503, 429]) {
  Deno.test(`localHeaders() tries again where the server answers ${status}`, () =>
    withHub(async (hub) => {
      const bytes = new Uint8Array(readFileSync(`${GOLDEN}formats/llama.gguf`));
      ofGguf(hub, bytes);
      const answers = [() => new Response("busy", { status })];
      hub.intercept = (path) => path.endsWith(".gguf") ? answers.shift()?.() : undefined;
      const path = await localHeaders("org/small", hub);
      assert.equal(hub.requests.filter(([path]) => path.endsWith(".gguf")).length, 2);
      checkpointShapes(path).dispose();
      rmSync(path);
      hub.intercept = () => new Response("busy", { status });
      await assert.rejects(
        localHeaders("org/small", { ...hub, attempts: 1 }),
        new RegExp(`the server answered ${status}$`),
      );
    }));
}

Deno.test(
  "a path that may not be read is taken for no hub id",
  { permissions: { read: false } },
  async () => {
    const refused = { name: "NotCapable", message: /read access to "org\/name"/ };
    await assert.rejects(localPath("org/name"), refused);
    await assert.rejects(localFolder("org/name", undefined), refused);
  },
);

Deno.test("saveModel() of a model from the hub takes its tokenizer along", () =>
  withHub(async (hub) => {
    const golden = `${GOLDEN}models/llama`;
    for (const name of ["config.json", "model.safetensors"]) {
      hub.content.set(name, new Uint8Array(readFileSync(`${golden}/${name}`)));
    }
    const tokenizer = readFileSync(
      fileURLToPath(new URL("../../../embedded/model/tokenizer.json", import.meta.url)),
    );
    hub.content.set("tokenizer.json", new Uint8Array(tokenizer));
    const before = Deno.env.toObject();
    Deno.env.set("HF_ENDPOINT", hub.endpoint);
    Deno.env.set("HF_HOME", hub.cache);
    try {
      const model = await loadModel("org/small", { backend: reference() });
      const folder = join(hub.cache, "saved");
      await saveModel(folder, model);
      model.dispose();
      assert.deepEqual(readFileSync(join(folder, "tokenizer.json")), tokenizer);
    } finally {
      for (const name of ["HF_ENDPOINT", "HF_HOME"]) {
        if (before[name] === undefined) Deno.env.delete(name);
        else Deno.env.set(name, before[name]);
      }
    }
  }));

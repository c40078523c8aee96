/** The studio's files: small enough to be loaded, and the same written as served. */
import assert from "node:assert/strict";
import { graft, temporaryFolder } from "../cli/tiny.ts";
import { studioHandler } from "../../cli/studio.ts";
import { buildStudio } from "../../studio/build.ts";

/** What a page may load before it does anything, without weights and data. */
const MOST = 2_000_000;

Deno.test("page and worker have less than 2 MB, and the page none of the library", async () => {
  const files = new Map((await buildStudio()).map((file) => [file.path, file]));
  const size = (path: string): number => files.get(path)!.bytes.length;
  const code = ["index.html", "studio.css", "page.js", "worker.js"].reduce(
    (sum, path) => sum + size(path),
    0,
  );
  console.log(`the studio's code has ${code} bytes, of which the page has ${size("page.js")}`);
  assert.ok(code < MOST, `${code} bytes`);
  assert.ok(size("page.js") < 100_000, `${size("page.js")} bytes`);
});

Deno.test("a server sends the files with the headers of isolation, and the hub's address in the page", async () => {
  const handle = studioHandler(await buildStudio(), 'https://hub.example/"');
  const page = await handle(new Request("http://localhost/"));
  assert.equal(page.headers.get("cross-origin-opener-policy"), "same-origin");
  assert.equal(page.headers.get("cross-origin-embedder-policy"), "require-corp");
  assert.match(await page.text(), /<html data-hub="https:\/\/hub\.example\/&quot;" lang="en">/);
  const weights = await handle(new Request("http://localhost/embedded/model.safetensors"));
  const own = await Deno.readFile("embedded/model/model.safetensors");
  assert.deepEqual(new Uint8Array(await weights.arrayBuffer()), own);
  assert.equal((await handle(new Request("http://localhost/deno.json"))).status, 404);
});

Deno.test("graft studio --write writes them, into a new folder alone", async () => {
  using folder = temporaryFolder();
  const target = `${folder.path}/public`;
  const first = await graft(["studio", "--write", target]);
  assert.equal(first.code, 0, first.err);
  for (const { path, bytes } of await buildStudio()) {
    assert.deepEqual(new Uint8Array(await Deno.readFile(`${target}/${path}`)), bytes, path);
  }
  const again = await graft(["studio", "--write", target]);
  assert.deepEqual([again.code, /it exists; give a new folder/.test(again.err)], [2, true]);
});

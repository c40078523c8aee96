/**
 * What goes wrong in a tab, and what the page says of it: a tab that is killed, another one at the same run, files that are no
 * model, lines that are no data, models that are too large, a storage that is refused or full, a page without shared memory. A
 * test of its own step, since it needs Chromium: `deno task test:browser`.
 */
/// <reference lib="dom" />
import assert from "node:assert/strict";
import {
  type Browser,
  browserTest,
  drop,
  opened,
  type Page,
  type Served,
  served,
  sha256,
} from "./browser.ts";
import { DATA, downloaded, FILES, MODEL, prepared, WEIGHTS } from "./run.ts";

const SETTINGS = { "Max steps": "12", "Batch size": "2", "Save every": "4", Seed: "5" };

const train = (page: Page): Promise<void> =>
  page.getByRole("button", { name: "Train", exact: true }).last().click();

/** The hash of the adapter of a run that is done. */
async function result(page: Page): Promise<string> {
  await page.getByRole("button", { name: "Go on to comparing" }).click({ timeout: 120_000 });
  await page.getByRole("button", { name: "Go on to the files" }).click();
  return await sha256((await downloaded(page))[WEIGHTS]!);
}

browserTest(
  "a killed tab's run goes on in the next one to the bits of an unbroken run on one thread",
  async (browser) => {
    await using isolated = await served(true);
    const context = await browser.newContext();
    const { page } = await opened(context, `${isolated.url}?threads=2`);
    await prepared(page, SETTINGS);
    await train(page);
    await page.getByText(/step ([6-9]|1\d) of 12/).waitFor();
    await page.close(); // as a browser ends a tab: nothing in it is asked

    const { page: next } = await opened(context, `${isolated.url}?threads=2`);
    await next.getByText(/Paused · step [4-9] of 12/).waitFor();
    await next.getByRole("button", { name: "Resume" }).click();
    await next.getByText(/step ([5-9]|1\d) of 12/).waitFor();

    const { page: other } = await opened(context, isolated.url);
    await other.getByText("Another tab is at this run").waitFor();
    assert.equal(await other.getByRole("button", { name: "Resume" }).count(), 0);
    await other.close();
    const resumed = await result(next);

    await using plain = await served(false);
    const { page: alone } = await opened(await browser.newContext(), plain.url);
    await prepared(alone, SETTINGS);
    await train(alone);
    await alone.getByText("This page is not cross-origin isolated").waitFor();
    await alone.getByText("one thread", { exact: true }).waitFor();
    assert.equal(await result(alone), resumed);
  },
);

browserTest("a run is paused and resumed, and stopped so that it keeps what it has", async (browser) => {
  await using server = await served(true);
  const { page } = await opened(await browser.newContext(), `${server.url}?threads=2`);
  await prepared(page, { ...SETTINGS, Epochs: "20", "Max steps": "400" });
  await train(page);
  await page.getByText(/step [2-9] of 400/).waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  const paused = page.getByText(/Paused · step \d+ of 400/);
  await paused.waitFor();
  const at = /step (\d+)/.exec(await paused.innerText())![1];
  await page.waitForTimeout(600);
  assert.equal(/step (\d+)/.exec(await paused.innerText())![1], at, "nothing is computed meanwhile");
  await page.getByRole("button", { name: "Stop and keep what it has learned" }).click();
  await page.getByText(new RegExp(`Done · step ${at} of 400`)).waitFor({ timeout: 60_000 });
  assert.match(await result(page), /^[0-9a-f]{64}$/);
});

browserTest("files that are no model, and lines that are no data, are told by name", async (browser) => {
  await using server = await served(true);
  const { page, errors } = await opened(await browser.newContext(), server.url);
  const says = (text: string | RegExp): Promise<void> => page.getByRole("alert").getByText(text).waitFor();
  const zone = "Drop a .gguf file";
  await drop(page, zone, "notes.txt", "hello");
  await says("notes.txt is no model");
  await drop(page, zone, "model.gguf", "this is no GGUF file at all");
  await says(/model\.gguf/);
  await drop(page, zone, "pytorch_model.bin", "x");
  await says("pytorch_model.bin is a pickle file");
  await drop(page, zone, "model.safetensors", "x");
  await says("drop config.json and tokenizer.json of the same checkpoint with it");

  await page.locator("input[type=file]").setInputFiles(FILES.map((name) => new URL(name, MODEL).pathname));
  await page.getByText("Give examples of what").waitFor();
  const lines = DATA.split("\n").slice(0, 6);
  await drop(
    page,
    "Drop a file of JSON",
    "mixed.jsonl",
    [...lines.slice(0, 2), '{"dialogue": "x"', ...lines.slice(2)].join("\n"),
  );
  await says("1 line cannot be used");
  await page.getByText(/^Line 3: malformed JSON/).waitFor();
  assert.ok(
    await page.getByRole("button", { name: "Go on to the method" }).isDisabled(),
    "not before it is agreed to",
  );
  await page.getByRole("button", { name: "Leave it out and use the other 6" }).click();
  await page.getByText("1 line cannot be used").waitFor({ state: "hidden" });
  await page.getByText("6 rows of dialogue/summary").waitFor();
  assert.ok(await page.getByRole("button", { name: "Go on to the method" }).isEnabled());
  await drop(page, "Drop a file of JSON", "empty.jsonl", "");
  await says("empty.jsonl is empty");
  await drop(page, "Drop a file of JSON", "poem.txt", "roses are red");
  await says(/No line of poem\.txt can be used; line 1/);
  assert.deepEqual(errors, []);
});

/** A hub of one small model and one that is too large. */
function hub(): Served & { readonly asked: readonly string[] } {
  const asked: string[] = [];
  const sizes = FILES.map((name) => ({ rfilename: name, size: Deno.statSync(new URL(name, MODEL)).size }));
  const models: Readonly<Record<string, unknown>> = {
    "/api/models/tiny/talks/revision/main": { siblings: sizes },
    "/api/models/huge/model/revision/main": {
      siblings: [{ rfilename: "config.json", size: 500 }, { rfilename: "model.safetensors", size: 14e9 }],
    },
  };
  const headers = { "access-control-allow-origin": "*" };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    const found = models[pathname];
    if (found !== undefined) return Response.json(found, { headers });
    const file = /^\/tiny\/talks\/resolve\/main\/([\w.]+)$/.exec(pathname)?.[1];
    if (file === undefined) return new Response("", { status: 404, headers });
    return new Response(await Deno.readFile(new URL(file, MODEL)), { headers });
  });
  return {
    asked,
    url: `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

browserTest("a model of the hub is fetched once, and one that is too large not at all", async (browser) => {
  await using models = hub();
  await using server = await served(true, models.url);
  const context = await browser.newContext();
  const fetchId = async (page: Page, id: string): Promise<void> => {
    await page.getByLabel("Its name on Hugging Face").fill(id);
    await page.getByRole("button", { name: "Fetch" }).click();
  };
  const { page } = await opened(context, server.url);
  await fetchId(page, "huge/model");
  await page.getByText(
    "huge/model is too large for a tab: its files have 14.0 GB, and a tab's memory holds 4.29 GB",
  ).waitFor();
  assert.ok(!models.asked.some((path) => path.startsWith("/huge/model/resolve")), "nothing was fetched");
  await fetchId(page, "no/body");
  await page.getByText("The hub has no public model no/body").waitFor();
  await fetchId(page, "tiny/talks");
  await page.getByText("Give examples of what").waitFor();
  assert.equal(models.asked.filter((path) => path.includes("/resolve/")).length, FILES.length);
  await page.close();

  const { page: next } = await opened(context, server.url);
  await next.getByRole("button", { name: "tiny/talks" }).waitFor();
  await fetchId(next, "tiny/talks");
  await next.getByText("Give examples of what").waitFor();
  assert.equal(
    models.asked.filter((path) => path.includes("/resolve/")).length,
    FILES.length,
    "not fetched again",
  );
});

/** A page whose worker begins with a line of ours. */
async function prefixed(browser: Browser, url: string, line: string): Promise<Page> {
  const context = await browser.newContext();
  await context.route("**/worker.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${line}\n${await response.text()}` });
  });
  return (await opened(context, url)).page;
}

browserTest("a storage that is refused or full is told, and the tab trains without it", async (browser) => {
  await using server = await served(true);
  const denied =
    'navigator.storage.getDirectory = () => Promise.reject(new DOMException("denied", "SecurityError"));';
  const refused = await prefixed(browser, `${server.url}?threads=1`, denied);
  await refused.getByText("This browser keeps no files for this page (denied)").waitFor();
  await prepared(refused, { ...SETTINGS, "Max steps": "2" });
  await train(refused);
  assert.match(await result(refused), /^[0-9a-f]{64}$/);

  const full = await prefixed(
    browser,
    `${server.url}?threads=1`,
    'FileSystemWritableFileStream.prototype.write = () => Promise.reject(new DOMException("full", "QuotaExceededError"));',
  );
  await full.locator("input[type=file]").setInputFiles(FILES.map((name) => new URL(name, MODEL).pathname));
  await full.getByText("The browser's storage for this page is full").first().waitFor();
});

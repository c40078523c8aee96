/**
 * The tests of the GPU's kernels over another implementation of WebGPU: Chromium's, which is Dawn with Tint, on its software
 * adapter, SwiftShader, where Deno's is wgpu with naga. The files of tests/ops/gpu run in a page as they are, in two browsers
 * that share the work, as one compiles shaders on one core. A test of its own step, since it needs Chromium:
 * `deno task test:webgpu`.
 */
/// <reference lib="dom" />
import assert from "node:assert/strict";
import { bundle } from "../../browser/bundle.ts";
import { CHROMIUM, launched, type Page, SOFTWARE_GPU } from "../studio/browser.ts";

const here = (path: string): URL => new URL(path, import.meta.url);
const BROWSERS = 2;

/** A module that registers the tests of every file of a folder. */
async function registering(folder: URL): Promise<string> {
  const files = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) =>
    name.endsWith(".test.ts")
  );
  const modules = [here("./in_page/deno.ts"), ...files.sort().map((name) => new URL(name, folder))];
  const entry = await Deno.makeTempFile({ prefix: "graft-page-", suffix: ".ts" });
  try {
    await Deno.writeTextFile(entry, modules.map(({ pathname }) => `import "${pathname}";`).join("\n"));
    return await bundle(entry, { builtins: { "node:assert/strict": here("./in_page/assert.ts") } });
  } finally {
    await Deno.remove(entry);
  }
}

interface Registered {
  readonly name: string;
  readonly ignore: boolean;
}

Deno.test({
  name: "kernels compute in Chromium what the reference computes",
  ignore: CHROMIUM === undefined,
  sanitizeOps: false, // Playwright's own
  sanitizeResources: false,
  fn: async (t) => {
    const script = await registering(here("../ops/gpu/"));
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ url }) => {
      const [body, type] = new URL(url).pathname === "/"
        ? ["<title>kernels</title>", "text/html"]
        : [script, "text/javascript"];
      return new Response(body, { headers: { "content-type": type! } });
    });
    const browsers = await Promise.all(Array.from({ length: BROWSERS }, () => launched(SOFTWARE_GPU)));
    try {
      const pages = await Promise.all(browsers.map(async (browser): Promise<Page> => {
        const page = await browser.newPage();
        await page.goto(`http://127.0.0.1:${(server.addr as Deno.NetAddr).port}/`);
        await page.evaluate(`import("/tests.js")`);
        return page;
      }));
      const adapter = await pages[0]!.evaluate<string>(
        "navigator.gpu.requestAdapter().then(({ info }) => `${info.vendor} ${info.architecture}`)",
      );
      assert.equal(adapter, "google swiftshader");
      const tests = await pages[0]!.evaluate<readonly Registered[]>("testsHere()");
      const left = tests.entries();
      await Promise.all(pages.map(async (page) => {
        for (const [i, { name, ignore }] of left) {
          await t.step({
            ...{ name, ignore, sanitizeOps: false, sanitizeResources: false, sanitizeExit: false },
            fn: async () => {
              const problem = await page.evaluate<string | undefined>(`runTest(${i})`);
              if (problem !== undefined) throw new Error(problem);
            },
          });
        }
      }));
      const ignored = tests.filter(({ ignore }) => ignore).map(({ name }) => name);
      assert.ok(ignored.every((name) => name.includes("f16")), `ignored: ${ignored}`);
      assert.ok(tests.length - ignored.length > 40, `${tests.length} tests`);
    } finally {
      await Promise.all(browsers.map((browser) => browser.close()));
    }
  },
});
